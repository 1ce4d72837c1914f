import { MeshError } from "@mesh/core/errors";
import {
  type Clock,
  formatPrefix,
  type HostNetwork,
  type HostView,
  ipFamily,
  type LinkPlan,
  type Millis,
  type Prefix,
  parsePrefix,
} from "@mesh/core/ports";
import type { Logger } from "pino";
import { Guard, type GuardLook, type GuardState } from "./guard.ts";
import { guardTable } from "./guard-rules.ts";
import { HostChanges } from "./host-changes.ts";
import { type CommandFailure, commandFailed } from "./host-failure.ts";
import { networkPrograms } from "./host-place.ts";
import { observeHost } from "./host-view.ts";
import { HostWatch, type Monitor } from "./host-watch.ts";
import { IpCommand } from "./ip-command.ts";
import { Ipv6Switch } from "./ipv6-switch.ts";
import { type LinkDifference, linkCommands, linkDifference } from "./link-changes.ts";
import { deviceNames, readLink } from "./link-state.ts";
import { NftCommand } from "./nft-command.ts";
import { RestorePace } from "./restore-pace.ts";
import { type JournalFile, UndoJournal } from "./undo-journal.ts";

interface HostNetworkOptions {
  readonly log: Logger;
  readonly clock: Clock;
  /** The store's document "host". */
  readonly journal: JournalFile;
  /** iproute2's `ip`; by default the one on the path. */
  readonly ipProgram?: string;
  /** nftables' `nft`; by default the one on the path. */
  readonly nftProgram?: string;
  /** Default: /proc. */
  readonly proc?: string;
}

/** What the agent can show beyond the port. */
export interface GuestNetwork extends HostNetwork {
  /** Of the latest plan. */
  guard(): GuardState;
}

/** Linux, through iproute2 and nftables. Starts processes only while a call is running or a watch is on. */
export function openHostNetwork(options: HostNetworkOptions): GuestNetwork {
  return new LinuxHostNetwork(options);
}

/** A plan that was applied. The kernel's number tells our device from another one that took its name. */
interface HeldPlan {
  readonly plan: LinkPlan;
  readonly index: number;
}

interface Deviation {
  readonly difference: LinkDifference;
  readonly guard: GuardLook;
  /** `-force`: what fails does not keep the rest from being done. */
  readonly ipOptions: readonly string[];
}

/**
 * A plan becomes the device's state in these steps:
 *  1. plans wait for each other: one at a time, in the order of the calls;
 *  2. what is on the device now is read (link-state.ts), and whether the guard stands (guard.ts);
 *  3. IPv6 is switched on for the device, or left out of the plan where the host does not allow that;
 *  4. the difference is worked out (link-changes.ts);
 *  5. the journal names everything that is going to be made (host-changes.ts, undo-journal.ts);
 *  6. the guard is loaded, then the rest done by one `ip -batch` process: no address is there without its guard;
 *  7. the journal forgets what this took away;
 *  8. while a watch is on, it stays so: every look at the host looks at all this as well, at a pace (restore-pace.ts).
 */
class LinuxHostNetwork implements GuestNetwork {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #proc: string;
  readonly #ip: IpCommand;
  readonly #changes: HostChanges;
  readonly #ipv6: Ipv6Switch;
  readonly #guard: Guard;
  readonly #pace: RestorePace;
  readonly #ipMonitor: Monitor;
  readonly #nftMonitor: Monitor;
  readonly #views = new Map<string, HostView>();
  readonly #held = new Map<string, HeldPlan>();
  #lastTrouble = "";
  #lastCall: Promise<void> = Promise.resolve();

  constructor(options: HostNetworkOptions) {
    const { log, clock, proc = "/proc" } = options;
    this.#log = log;
    this.#clock = clock;
    this.#proc = proc;
    this.#ip = new IpCommand(options.ipProgram ?? "ip", clock);
    const nft = new NftCommand(options.nftProgram ?? "nft", clock);
    this.#changes = new HostChanges({ ip: this.#ip, nft, proc, journal: new UndoJournal(options.journal, log), log });
    this.#ipv6 = new Ipv6Switch(proc, this.#changes);
    this.#guard = new Guard(nft, log);
    this.#pace = new RestorePace(clock);
    this.#ipMonitor = { name: "ip monitor", start: (onNews, onEnd) => this.#ip.monitor(onNews, onEnd) };
    this.#nftMonitor = { name: "nft monitor", start: (onNews, onEnd) => nft.monitor(onNews, onEnd) };
  }

  async observe(exceptDevice: string): Promise<HostView> {
    const view = await observeHost(this.#ip, { exceptDevice, hasIpv6: await this.#ipv6.isSupported() });
    this.#views.set(exceptDevice, view);
    return view;
  }

  applyLink(plan: LinkPlan): Promise<void> {
    return this.#inTurn(() => this.#apply(plan));
  }

  undo(): Promise<readonly string[]> {
    return this.#inTurn(async () => {
      this.#held.clear();
      this.#guard.forget();
      return await this.#changes.undo();
    });
  }

  guard(): GuardState {
    return this.#guard.state;
  }

  watch(exceptDevice: string, onChange: (view: HostView) => void): () => void {
    const watch: HostWatch = new HostWatch({
      clock: this.#clock,
      log: this.#log,
      known: this.#views.get(exceptDevice),
      observe: async () => {
        const wait = await this.#restore(exceptDevice);
        if (wait > 0) watch.lookAfter(wait);
        // Without a guard nothing of nftables is ours.
        if (this.#guard.state.guarded) watch.keep(this.#nftMonitor);
        return await this.observe(exceptDevice);
      },
      onChange,
    });
    watch.keep(this.#ipMonitor);
    return () => watch.stop();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#lastCall.then(work);
    this.#lastCall = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  async #apply(wanted: LinkPlan): Promise<void> {
    const { device } = wanted;
    const state = await readLink(this.#ip, device, await this.#ipv6.isSupported());
    const held = this.#held.get(device);
    if (held !== undefined && held.index !== state.index) throw notOurs(device);
    const plan = await this.#withoutUnusableIpv6(wanted, state.index);
    const difference = linkDifference(state, plan);
    await this.#perform(plan, { difference, guard: await this.#guard.look({ ...plan, index: state.index }), ipOptions: [] });
    this.#held.set(device, { plan, index: state.index });
    this.#log.debug({ device, changes: linkCommands(difference).length }, "tunnel device is as planned");
  }

  async #perform(plan: LinkPlan, { difference, guard, ipOptions }: Deviation): Promise<void> {
    await this.#changes.announce([...(guard.todo === "load" ? [guard.change] : []), ...difference.fresh]);
    if (guard.todo === "load") await this.#guard.load({ ...plan, index: guard.change.index });
    const commands = linkCommands(difference);
    const outcome = commands.length === 0 ? undefined : await this.#ip.batch(ipOptions, commands);
    if (outcome?.ok === false) throw await this.#changeFailed(outcome, plan.device);
    await this.#changes.forget(difference.gone);
    if (guard.todo !== "remove") return;
    this.#guard.forget();
    await this.#changes.takeBack([guard.change]);
  }

  /**
   * systemd-networkd and NetworkManager remove routes that are not theirs when they start, `ip link set down` drops them, and
   * a reload of a firewall flushes every table. A device that was set down comes up again: `mesh down` is the way to stop,
   * and a node that says it is there must carry packets. Returns how long to wait before the next look, 0 for none.
   */
  async #restore(device: string): Promise<Millis> {
    try {
      return await this.#inTurn(() => this.#restoreHeld(device));
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error), { device, err: error });
      return 0;
    }
  }

  async #restoreHeld(device: string): Promise<Millis> {
    const held = this.#held.get(device);
    if (held === undefined) return 0;
    const names = await deviceNames(this.#ip);
    const name = names.get(held.index);
    if (name === undefined) return this.#say("it is gone", { device });
    if (name !== device && [...names.values()].includes(device)) return this.#say("another device took its name", { device, name });
    if (name !== device) return await this.#atPace(device, [`link set dev ${name} name ${device}`], () => this.#rename(name, device));
    const state = await readLink(this.#ip, device, await this.#ipv6.isSupported());
    const guard = await this.#guard.look({ ...held.plan, index: held.index });
    const difference = linkDifference(state, held.plan);
    const wrong = [...linkCommands(difference), ...(guard.todo === "load" ? [`table ${guardTable(device)}`] : [])];
    if (wrong.length === 0) {
      this.#lastTrouble = "";
      return 0;
    }
    return await this.#atPace(device, wrong, async () => {
      await this.#withoutUnusableIpv6(held.plan, held.index);
      await this.#perform(held.plan, { difference, guard, ipOptions: ["-force"] });
    });
  }

  async #rename(from: string, to: string): Promise<void> {
    const direct = await this.#ip.batch([], [`link set dev ${from} name ${to}`]);
    if (direct.ok) return;
    // Older kernels rename only what is down; the next look brings it up and puts its routes back.
    const outcome = await this.#ip.batch([], [`link set dev ${from} down`, `link set dev ${from} name ${to}`]);
    if (outcome.ok) return;
    await this.#ip.batch([], [`link set dev ${from} up`]);
    throw commandFailed(outcome, `give the tunnel device its name ${to} again`);
  }

  async #atPace(device: string, wrong: readonly string[], restore: () => Promise<void>): Promise<Millis> {
    const wait = this.#pace.take();
    if (wait === 0) {
      await restore();
      this.#log.warn({ device, wrong }, "something changed the tunnel device or its guard; it is as planned again");
      return 0;
    }
    if (this.#pace.mayTell()) {
      const running = await networkPrograms(this.#proc);
      this.#log.warn({ device, wrong, running }, "something keeps changing the tunnel device or its guard; it is put back once a second");
    }
    return wait;
  }

  /** Once for the same trouble, until all is well again. */
  #say(trouble: string, fields: Readonly<Record<string, unknown>>): Millis {
    if (this.#lastTrouble !== trouble) this.#log.warn(fields, `the tunnel device could not be restored: ${trouble}`);
    this.#lastTrouble = trouble;
    return 0;
  }

  async #withoutUnusableIpv6(plan: LinkPlan, index: number): Promise<LinkPlan> {
    if (!plan.addresses.some((ip) => ipFamily(ip) === 6)) return plan;
    const reason = await this.#ipv6.turnOn(plan.device, index);
    if (reason === undefined) return plan;
    this.#log.warn({ device: plan.device, reason }, "IPv6 is off on this host: the mesh is reachable from it by IPv4 only");
    return {
      ...plan,
      addresses: plan.addresses.filter((ip) => ipFamily(ip) === 4),
      routes: plan.routes.filter((prefix) => ipFamily(prefix.ip) === 4),
    };
  }

  async #changeFailed(failure: CommandFailure, device: string): Promise<MeshError> {
    const text = / route add (\S+) /.exec(failure.failed)?.[1];
    const prefix = text === undefined ? undefined : parsePrefix(text);
    if (prefix !== undefined && /File exists/.test(failure.output)) return await this.#prefixTaken(prefix, device);
    return commandFailed(failure, `set up the tunnel device ${device}`);
  }

  async #prefixTaken(prefix: Prefix, device: string): Promise<MeshError> {
    const { routes } = await this.observe(device);
    const by = routes.find((route) => formatPrefix(route.prefix) === formatPrefix(prefix))?.device ?? "another route";
    return new MeshError(
      "host/prefix-taken",
      `This host routes ${formatPrefix(prefix)} elsewhere already: ${by}.`,
      { prefix: formatPrefix(prefix), by },
      { hint: `See it with \`ip route show ${formatPrefix(prefix)}\`, and remove that route or choose another prefix for the mesh.` },
    );
  }
}

function notOurs(device: string): MeshError {
  return new MeshError(
    "host/command-failed",
    `The device ${device} is not the tunnel that this agent opened: another one took its name.`,
    { command: `ip link show ${device}`, output: "its number changed" },
    { hint: `Look with \`ip link\`; rename or remove the other ${device} and start the agent again.` },
  );
}
