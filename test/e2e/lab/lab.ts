import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findCommand } from "../../prepare-host.ts";
import { buildTopology, configureEnd, namespacesOf } from "./build-topology.ts";
import type { LabRecord } from "./lab-record.ts";
import { keptRecord, namespacePrefix, pidsIn, removeLab, signalAll, startTicks, sweepLabs, writeRecord } from "./lab-record.ts";
import { forgetLab, rememberLab } from "./open-labs.ts";
import type { CommandOptions, CommandResult } from "./run-command.ts";
import { exitOf, mustRun, runCommand } from "./run-command.ts";
import type { LinkEnd, LinkSpec, Topology } from "./topology.ts";
import type { WireChange, WireState } from "./wire.ts";
import { changeWire } from "./wire.ts";

export interface LabOptions {
  /** Names the directory that keeps what a failed test leaves; usually the test's name. */
  readonly name: string;
}

/** How a link is interrupted: packets vanish without a sign, or the device at the first end loses its carrier. */
export type CutKind = "silent" | "unplugged";

/** Milliseconds that processes have to end on SIGTERM when a lab is closed; an agent undoes its changes in a fraction of it. */
const TERM_TIMEOUT = 3_000;
/** What a kept lab was made of, in its directory. */
const TOPOLOGY_FILE = "topology.json";
const ARTIFACTS: string = join(import.meta.dirname, "../../.artifacts");

/** Why no lab can be opened here, as a sentence; undefined when one can. */
export function labRefusal(): string | undefined {
  if (process.platform !== "linux") return "network namespaces need Linux";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  if (findCommand("ip") === undefined) return "the ip command is missing: apt-get install iproute2";
  return undefined;
}

/** Makes the topology: namespaces, links, addresses, routes. What cannot be finished is removed before this throws. */
export async function openLab(topology: Topology, options: LabOptions): Promise<Lab> {
  const refusal = labRefusal();
  if (refusal !== undefined) throw new Error(`No lab can be opened: ${refusal}.`);
  sweepLabs();
  const id = randomBytes(3).toString("hex");
  const record: LabRecord = {
    id,
    ownerPid: process.pid,
    ownerStartTicks: startTicks(process.pid) ?? "",
    namespaces: namespacesOf(topology).map((name) => namespacePrefix(id) + name),
    directory: mkdtempSync(join(tmpdir(), namespacePrefix(id))),
  };
  rememberLab(record);
  writeRecord(record);
  const lab = new Lab(record, topology, options);
  try {
    await buildTopology(topology, { namespaceOf: (node) => namespacePrefix(id) + node, directory: record.directory });
    return lab;
  } catch (error) {
    await lab.close();
    throw error;
  }
}

/** A kept lab, by its record. It does not go with this process. */
export function reopenLab(record: LabRecord): Lab {
  return new Lab(record, readTopology(join(record.directory, TOPOLOGY_FILE)), { name: record.kept ?? record.id });
}

function readTopology(file: string): Topology {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Topology;
  } catch {
    // Somebody has tidied up, but the lab can still be closed.
    return { nodes: [], links: [] };
  }
}

/** A running topology. It goes with `close`, and in any case with this process, unless it is kept. */
export class Lab {
  #record: LabRecord;
  #topology: Topology;
  readonly #options: LabOptions;
  readonly #hosts: ReadonlyMap<string, LabHost>;
  readonly #collectors: ((directory: string) => Promise<void>)[] = [];
  #closed = false;

  constructor(record: LabRecord, topology: Topology, options: LabOptions) {
    this.#record = record;
    this.#topology = topology;
    this.#options = options;
    this.#hosts = new Map(topology.nodes.map(({ name }) => [name, new LabHost(record, name, topology)]));
  }

  get id(): string {
    return this.#record.id;
  }

  /** For whatever the test writes; removed with the lab. */
  get directory(): string {
    return this.#record.directory;
  }

  get topology(): Topology {
    return this.#topology;
  }

  /** Hosts and routers alike. */
  host(name: string): LabHost {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new RangeError(`no node ${name} in this lab, only ${[...this.#hosts.keys()].join(", ")}`);
    return host;
  }

  async cut(link: string, kind: CutKind = "silent"): Promise<void> {
    const { ends, wire } = this.#link(link);
    if (kind === "unplugged") {
      await this.#ip(ends[1], ["link", "set", ends[1].device, "down"]);
      if (wire !== undefined) await this.wire(link, { carrier: false });
    } else if (wire !== undefined) await this.wire(link, { cut: true });
    else for (const end of ends) await this.#dropAll(end);
  }

  /** Undoes either kind of cut; does nothing to a link that is whole. */
  async heal(link: string): Promise<void> {
    const { ends, wire } = this.#link(link);
    if (wire !== undefined) await this.wire(link, { carrier: true, cut: false });
    for (const end of ends) {
      await this.#ip(end, ["link", "set", end.device, "up"]);
      await this.host(end.node).run("nft", ["delete", "table", "netdev", cutTable(end)]);
      // What was not answered meanwhile is asked again at once, not when the kernel's back-off ends.
      await this.#ip(end, ["neighbor", "flush", "dev", end.device]);
    }
  }

  /** Changes what a wire does, at once, and returns how both directions are then; without a change it only asks. */
  async wire(link: string, change: WireChange = {}): Promise<readonly [WireState, WireState]> {
    if (this.#link(link).wire === undefined) throw new RangeError(`${link} is a plain link: only a wire delays and loses`);
    return await changeWire(this.directory, link, change);
  }

  /** Plugs the link's second end into another node; the first end loses its carrier and gets it back. */
  async replug(link: string, end: LinkEnd): Promise<void> {
    const old = this.#link(link);
    const there = old.ends[1];
    const { namespace } = this.host(end.node);
    await this.#ip(there, ["link", "set", there.device, "down"]);
    await this.#ip(there, ["link", "set", there.device, "netns", namespace, "name", end.device]);
    await configureEnd(namespace, end);
    const plugged: LinkSpec = { ...old, ends: [old.ends[0], end] };
    this.#topology = { ...this.#topology, links: this.#topology.links.map((other) => (other === old ? plugged : other)) };
  }

  /** Records the packets at the first end of the link from now on; undefined where tcpdump is not installed. */
  async capture(link: string): Promise<Capture | undefined> {
    if (findCommand("tcpdump") === undefined) return undefined;
    const [end] = this.#link(link).ends;
    const file = join(this.directory, `${link}.pcap`);
    const child = this.host(end.node).spawn("tcpdump", ["-i", end.device, "-U", "--immediate-mode", "-n", "-Z", "root", "-w", file]);
    // tcpdump says "listening on" once its socket sees packets.
    await new Promise<void>((resolve, reject) => {
      child.stderr?.on("data", () => resolve());
      child.once("error", reject).once("exit", (code) => reject(new Error(`tcpdump ended with ${code}`)));
    });
    return {
      file,
      stop: async () => {
        const ended = exitOf(child);
        child.kill("SIGINT");
        await ended;
      },
    };
  }

  /** Called when a failed test's leavings are kept; writes into the directory that it is given. */
  onCollect(collector: (directory: string) => Promise<void>): void {
    this.#collectors.push(collector);
  }

  /** Keeps what explains a failure and returns where: addresses, routes and rules of each node, wires, logs, captures, what collectors add. */
  async collect(): Promise<string> {
    const directory = join(ARTIFACTS, `${this.#options.name.slice(0, 60).replaceAll(/[^a-z0-9]+/gi, "-")}-${this.id}`);
    await mkdir(directory, { recursive: true });
    for (const [name, host] of this.#hosts) await writeFile(join(directory, `${name}.network.txt`), await describeNetwork(host));
    for (const { name, wire } of this.#topology.links) {
      if (wire === undefined) continue;
      const state = await this.wire(name).catch(String);
      await writeFile(join(directory, `${name}.wire.json`), JSON.stringify(state, undefined, 2));
    }
    for (const collector of this.#collectors) {
      await collector(directory).catch((error: unknown) => writeFile(join(directory, "not-collected.txt"), String(error), { flag: "a" }));
    }
    await cp(this.directory, join(directory, "files"), { recursive: true, filter: (from) => !/\.(?:sock|state|key)$/.test(from) });
    return directory;
  }

  /** Lets the lab outlive this process, under this name, until `reopenLab` and `close`. */
  keep(name: string): void {
    writeFileSync(join(this.directory, TOPOLOGY_FILE), JSON.stringify(this.#topology));
    this.#record = keptRecord(this.#record, name);
    writeRecord(this.#record);
    forgetLab(this.id);
  }

  /** Whether the link is interrupted, in either way. */
  async isCut(link: string): Promise<boolean> {
    const { ends, wire } = this.#link(link);
    const [, end] = ends;
    const { stdout } = await this.host(end.node).run("ip", ["link", "show", "dev", end.device]);
    if (!/[<,]UP[,>]/.test(stdout)) return true;
    if (wire !== undefined) return (await this.wire(link)).some(({ settings }) => settings.cut);
    return (await this.host(end.node).run("nft", ["list", "table", "netdev", cutTable(end)])).code === 0;
  }

  /** Ends every process in the lab and removes it. Takes 10 s at most and never throws for what it finds; a second call does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const deadline = performance.now() + TERM_TIMEOUT;
    signalAll(this.#record.namespaces, "SIGTERM");
    while (this.#record.namespaces.some((name) => pidsIn(name).length > 0) && performance.now() < deadline) await sleep(20);
    removeLab(this.#record);
    forgetLab(this.id);
  }

  #link(name: string): LinkSpec {
    const link = this.#topology.links.find((candidate) => candidate.name === name);
    if (link === undefined)
      throw new RangeError(`no link ${name} in this lab, only ${this.#topology.links.map((one) => one.name).join(", ")}`);
    return link;
  }

  async #ip(end: LinkEnd, args: readonly string[]): Promise<void> {
    await mustRun("ip", ["-n", this.host(end.node).namespace, ...args]);
  }

  async #dropAll(end: LinkEnd): Promise<void> {
    const rules = `table netdev ${cutTable(end)} { chain cut { type filter hook ingress device "${end.device}" priority 0; policy drop; }\n}`;
    const { code, stderr } = await this.host(end.node).run("nft", ["-f", "-"], { input: rules });
    if (code !== 0) throw new Error(`cannot cut ${end.node}/${end.device}: ${stderr.trim()}`);
  }
}

/** One table for each device that is cut. */
function cutTable(end: LinkEnd): string {
  return `mesh-lab-cut-${end.device}`;
}

async function describeNetwork(host: LabHost): Promise<string> {
  const commands = ["ip addr", "ip rule", "ip -4 route show table all", "ip -6 route show table all", "nft list ruleset", "ss -tunap"];
  const parts: string[] = [];
  for (const line of commands) {
    const [command = "", ...args] = line.split(" ");
    const { stdout, stderr } = await host.run(command, args);
    parts.push(`# ${line}\n${stdout}${stderr}`);
  }
  return parts.join("\n");
}

export interface Capture {
  readonly file: string;
  stop(): Promise<void>;
}

/** One network namespace. */
export class LabHost {
  readonly name: string;
  readonly namespace: string;
  /** Where the lab keeps its files. */
  readonly labDirectory: string;
  readonly #addresses: readonly string[];

  constructor(record: LabRecord, name: string, topology: Topology) {
    this.name = name;
    this.namespace = namespacePrefix(record.id) + name;
    this.labDirectory = record.directory;
    const ends = topology.links.flatMap(({ ends }) => ends).filter(({ node }) => node === name);
    this.#addresses = ends.flatMap(({ addresses }) => addresses.map((address) => address.split("/")[0] ?? address));
  }

  /** All that it was given, without prefix length. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Its first IPv4 address. */
  get address4(): string {
    return this.#firstAddress((address) => !address.includes(":"));
  }

  get address6(): string {
    return this.#firstAddress((address) => address.includes(":"));
  }

  pids(): readonly number[] {
    return pidsIn(this.namespace);
  }

  /** Runs a command in the namespace and waits for it. Rejects only when it cannot be started. */
  run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand("ip", ["netns", "exec", this.namespace, command, ...args], options);
  }

  /** Starts a command in the namespace; it is ended with the lab. */
  spawn(command: string, args: readonly string[], options: { readonly env?: NodeJS.ProcessEnv } = {}): ChildProcess {
    return spawn("ip", ["netns", "exec", this.namespace, command, ...args], { stdio: ["ignore", "pipe", "pipe"], ...options });
  }

  #firstAddress(wanted: (address: string) => boolean): string {
    const address = this.#addresses.find(wanted);
    if (address === undefined) throw new RangeError(`${this.name} has no such address`);
    return address;
  }
}
