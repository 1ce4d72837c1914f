import { readFile, writeFile } from "node:fs/promises";
import { MeshError } from "@mesh/core/errors";
import type { Logger } from "pino";
import { isOurTable } from "./guard-rules.ts";
import {
  type AddressChange,
  addCommand,
  familyOf,
  type HostChange,
  type IpChange,
  ipOptions,
  type LinkChange,
  OUR_PROTOCOL,
  type RouteChange,
  type RuleChange,
  removeCommand,
  type SysctlChange,
  undoByHand,
} from "./host-change.ts";
import { commandFailed, firstLine } from "./host-failure.ts";
import { type HostPlace, namespaceLives, readPlace } from "./host-place.ts";
import { type IpCommand, parseShown } from "./ip-command.ts";
import { deviceNames } from "./link-state.ts";
import type { NftCommand } from "./nft-command.ts";
import type { ShownLink, ShownRoute, ShownRule } from "./shown.ts";
import type { JournalEntry, UndoJournal } from "./undo-journal.ts";

interface HostChangesOptions {
  readonly ip: IpCommand;
  readonly nft: NftCommand;
  /** /proc. */
  readonly proc: string;
  readonly journal: UndoJournal;
  readonly log: Logger;
}

/** What is on the host now in the place of a change. */
type Found =
  | { readonly state: "absent" }
  /** `change` names its device as it is called now. */
  | { readonly state: "ours"; readonly change: HostChange }
  /** `what` completes "left alone: …". */
  | { readonly state: "foreign"; readonly what: string };

interface UndoFailure {
  readonly command: string;
  readonly output: string;
}

const ABSENT: Found = { state: "absent" };

/** Between our look and our command somebody else took it away: the wish is fulfilled. */
const GONE_MEANWHILE = /No such (file|process|device)|Cannot find device|Cannot assign requested address|Address not found/;

/**
 * Changes of the host that are undone whatever happens:
 *  1. a look: what is there before us is left as it is and is no change;
 *  2. the journal says what will be done, durably;
 *  3. it is done;
 *  4. undone, in reverse order, after another look: only what still bears our mark, or has the value we gave it;
 *  5. the journal forgets what was undone, what is gone, and what somebody else made his own.
 */
export class HostChanges {
  readonly #options: HostChangesOptions;
  #place: Promise<HostPlace> | undefined;

  constructor(options: HostChangesOptions) {
    this.#options = options;
  }

  /** Before the caller makes them: they are known to be absent or ours. */
  async announce(changes: readonly HostChange[]): Promise<void> {
    await this.#options.journal.add(changes, await this.#here());
  }

  /** After the caller undid them, or could not make them. */
  async forget(changes: readonly HostChange[]): Promise<void> {
    const place = await this.#here();
    await this.#options.journal.remove(changes.map((change) => ({ ...place, change })));
  }

  /** False when an equal address or rule was there before. MeshError when another link or route is in its place. */
  async make(change: IpChange): Promise<boolean> {
    const { ip } = this.#options;
    const found = await this.#find(change);
    if (found.state === "foreign" && (change.kind === "address" || change.kind === "rule")) return false;
    const command = addCommand(change);
    if (found.state === "foreign")
      throw commandFailed({ ok: false, failed: `ip ${command}`, output: found.what }, `make the ${change.kind}`);
    await this.announce([change]);
    if (found.state === "ours") return true;
    const outcome = await ip.batch(ipOptions(change), [command]);
    if (outcome.ok) return true;
    await this.forget([change]);
    throw commandFailed(outcome, `make the ${change.kind}`);
  }

  /** `path` is below /proc/sys; `index` is of the device it names, if any. Node's error when it cannot be read or written. */
  async setSysctl({ path, value, index }: { readonly path: string; readonly value: string; readonly index?: number }): Promise<void> {
    const before = await this.#readSysctl(path);
    if (before === value) return;
    const change: SysctlChange = { kind: "sysctl", path, before, after: value, ...(index === undefined ? {} : { index }) };
    await this.announce([change]);
    try {
      await this.#writeSysctl(path, value);
    } catch (error) {
      await this.forget([change]);
      throw error;
    }
  }

  /** Undoes what this process made and the journal names. MeshError as {@link undo}. */
  async takeBack(changes: readonly HostChange[]): Promise<void> {
    const place = await this.#here();
    await this.#undo(changes.map((change) => ({ ...place, change })));
  }

  /** All that the journal names. MeshError "host/command-failed" with what stays there, "state/damaged" when it is unreadable. */
  async undo(): Promise<readonly string[]> {
    const entries = await this.#options.journal.entries();
    if (entries.length === 0) return [];
    const commands = await this.#undo(entries);
    this.#options.log.info({ changes: entries.length }, "what was changed on this host is undone");
    return commands;
  }

  /** The commands that did it; what was gone already needed none. */
  async #undo(entries: readonly JournalEntry[]): Promise<readonly string[]> {
    const undone: JournalEntry[] = [];
    const commands: string[] = [];
    const failures: UndoFailure[] = [];
    for (const entry of entries.toReversed()) {
      const outcome = await this.#undoEntry(entry);
      if (typeof outcome === "object") {
        failures.push(outcome);
        continue;
      }
      undone.push(entry);
      if (outcome !== undefined) commands.push(outcome);
    }
    await this.#options.journal.remove(undone);
    if (failures.length > 0) throw undoFailed(failures);
    return commands;
  }

  /** The command that undid it, or could not; undefined when there was nothing to undo. */
  async #undoEntry({ change, boot, netns }: JournalEntry): Promise<UndoFailure | string | undefined> {
    const { log, proc } = this.#options;
    const here = await this.#here();
    if (boot !== here.boot) return undefined;
    if (netns !== here.netns) {
      if (!(await namespaceLives(proc, netns))) return undefined;
      return { command: undoByHand(change), output: `it is in another network namespace, ${netns}` };
    }
    try {
      const found = await this.#find(change);
      if (found.state === "foreign") log.warn({ change, reason: found.what }, "not ours any more, and left alone");
      return found.state === "ours" ? await this.#undoChange(found.change) : undefined;
    } catch (error) {
      return { command: undoByHand(change), output: error instanceof MeshError ? error.message : String(error) };
    }
  }

  async #undoChange(change: HostChange): Promise<UndoFailure | string | undefined> {
    const command = undoByHand(change);
    if (change.kind === "sysctl") {
      const { path, before } = change;
      return await this.#writeSysctl(path, before).then(
        () => command,
        (error: unknown) => ({ command, output: codeOf(error) }),
      );
    }
    const outcome =
      change.kind === "nft-table"
        ? await this.#options.nft.deleteTable(change.table)
        : await this.#options.ip.batch(ipOptions(change), [removeCommand(change)]);
    if (outcome.ok) return command;
    return GONE_MEANWHILE.test(outcome.output) ? undefined : { command, output: outcome.output };
  }

  async #find(change: HostChange): Promise<Found> {
    switch (change.kind) {
      case "link":
        return await this.#findLink(change);
      case "address":
        return await this.#findAddress(change);
      case "route":
        return await this.#findRoute(change);
      case "rule":
        return await this.#findRule(change);
      case "sysctl":
        return await this.#findSysctl(change);
      case "nft-table": {
        const { table, index } = change;
        const listed = await this.#options.nft.table(table);
        if (!listed.ok) throw commandFailed(listed, `look at the table ${table} of nftables`);
        if (listed.objects === undefined) return ABSENT;
        const isOurs = isOurTable(listed.objects, index);
        return isOurs ? { state: "ours", change } : { state: "foreign", what: `the table ${table} is not ours` };
      }
    }
  }

  async #findLink(change: LinkChange): Promise<Found> {
    const [links = []] = await this.#show([], "link show");
    const shown = links as readonly ShownLink[];
    const ours = shown.find(({ address }) => address === change.mac);
    if (ours?.ifname !== undefined) return { state: "ours", change: { ...change, device: ours.ifname } };
    const isTaken = shown.some(({ ifname }) => ifname === change.device);
    return isTaken ? { state: "foreign", what: `the device ${change.device} is not ours` } : ABSENT;
  }

  async #findAddress(change: AddressChange): Promise<Found> {
    const device = await this.#deviceOf(change.index);
    if (device === undefined) return ABSENT;
    const [links = []] = await this.#show(["-details"], `address show dev ${device}`);
    const shown = (links as readonly ShownLink[]).flatMap((link) => link.addr_info ?? []);
    const same = shown.find(({ local, prefixlen }) => `${local}/${prefixlen}` === change.address);
    if (same === undefined) return ABSENT;
    if (same.noprefixroute === true) return { state: "ours", change: { ...change, device } };
    return { state: "foreign", what: `the address ${change.address} on ${device} is not ours` };
  }

  async #findRoute(change: RouteChange): Promise<Found> {
    const device = await this.#deviceOf(change.index);
    if (device === undefined) return ABSENT;
    const [routes = []] = await this.#show([`-${familyOf(change)}`, "-details"], `route show exact ${change.prefix} table ${change.table}`);
    const shown = routes as readonly ShownRoute[];
    if (shown.some((route) => route.dev === device && route.protocol === String(OUR_PROTOCOL)))
      return { state: "ours", change: { ...change, device } };
    return shown.length === 0 ? ABSENT : { state: "foreign", what: `the route ${change.prefix} is not ours` };
  }

  async #findRule(change: RuleChange): Promise<Found> {
    const { family, priority, selector, table } = change;
    const words = `rule show pref ${priority} ${selector} table ${table}`;
    const [rules = []] = await this.#show([`-${family}`, "-N"], words);
    const shown = rules as readonly ShownRule[];
    if (shown.some(({ protocol }) => protocol === String(OUR_PROTOCOL))) return { state: "ours", change };
    return shown.length === 0 ? ABSENT : { state: "foreign", what: `the rule with priority ${priority} is not ours` };
  }

  async #findSysctl(change: SysctlChange): Promise<Found> {
    const { index, before, after } = change;
    const path = index === undefined ? change.path : await this.#presentPath(change.path, index);
    if (path === undefined) return ABSENT;
    const now = await this.#readSysctl(path).catch((error: unknown) => {
      if (codeOf(error) === "ENOENT") return before;
      throw error;
    });
    if (now === after) return { state: "ours", change: { ...change, path } };
    return now === before ? ABSENT : { state: "foreign", what: `somebody set ${path} to ${now} meanwhile` };
  }

  /** `net/ipv6/conf/mesh0/…` with the device's present name; undefined when it is gone. */
  async #presentPath(path: string, index: number): Promise<string | undefined> {
    const device = await this.#deviceOf(index);
    return device === undefined ? undefined : path.split("/").with(3, device).join("/");
  }

  async #deviceOf(index: number): Promise<string | undefined> {
    return (await deviceNames(this.#options.ip)).get(index);
  }

  /** Nothing is in a routing table that does not exist. */
  async #show(options: readonly string[], words: string): Promise<readonly (readonly unknown[])[]> {
    const outcome = await this.#options.ip.batch([...options, "-json"], [words]);
    if (outcome.ok) return parseShown(outcome.output);
    if (/table does not exist/.test(outcome.output)) return [];
    throw commandFailed(outcome, "look at what was changed on this host");
  }

  async #readSysctl(path: string): Promise<string> {
    return (await readFile(`${this.#options.proc}/sys/${path}`, "utf8")).trim();
  }

  async #writeSysctl(path: string, value: string): Promise<void> {
    await writeFile(`${this.#options.proc}/sys/${path}`, value);
  }

  #here(): Promise<HostPlace> {
    this.#place ??= readPlace(this.#options.proc);
    return this.#place;
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

function undoFailed(failures: readonly UndoFailure[]): MeshError {
  const commands = failures.map(({ command }) => command).join("; ");
  const output = failures.map(({ command, output: said }) => `${command}: ${firstLine(said)}`).join("\n");
  const count = failures.length === 1 ? "One change" : `${failures.length} changes`;
  return new MeshError(
    "host/command-failed",
    `${count} of this host could not be undone: ${output.replaceAll("\n", "; ")}.`,
    { command: commands, output },
    { hint: `It stays in the journal and is tried again. By hand, as root: ${commands}` },
  );
}
