import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Lab, LabHost } from "../lab/lab.ts";
import { exitOf } from "../lab/run-command.ts";
import { configureDevice } from "./configure-device.ts";
import type { StaticPeerEvent, StaticPeerOrder } from "./static-peer.ts";

export type StaticPeerReport = Extract<StaticPeerEvent, { type: "report" }>;

export interface OurSideOptions extends StaticPeerOrder {
  /** With prefix length. */
  readonly addresses: readonly string[];
}

const PROGRAM: string = join(import.meta.dirname, "static-peer.ts");
/** Milliseconds until an event that must come is missed: REKEY_TIMEOUT and then some, on a busy machine. */
const EVENT_TIMEOUT = 20_000;

/** Our WireGuard in a process on a host of the lab. */
export class OurSide {
  readonly host: LabHost;
  readonly tunName: string;
  /** Of all runs, in order. */
  readonly events: StaticPeerEvent[] = [];
  readonly #options: OurSideOptions;
  readonly #listeners = new Set<() => void>();
  #process: ChildProcess | undefined;
  #errors = "";

  constructor(lab: Lab, hostName: string, options: OurSideOptions) {
    this.host = lab.host(hostName);
    this.tunName = options.tunName;
    this.#options = options;
  }

  async start(): Promise<void> {
    const { addresses, ...order } = this.#options;
    const runs = this.count("ready");
    const child = spawn("ip", ["netns", "exec", this.host.namespace, process.execPath, PROGRAM], { stdio: ["pipe", "pipe", "pipe"] });
    this.#process = child;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
    });
    child.once("exit", () => this.#changed());
    createInterface({ input: child.stdout }).on("line", (line) => this.#received(JSON.parse(line) as StaticPeerEvent));
    // A process that has ended is noticed by whoever waits for it.
    child.stdin.on("error", () => {});
    child.stdin.write(`${JSON.stringify(order)}\n`);
    await this.until("our side is ready", () => this.count("ready") > runs);
    await configureDevice(this.host, { device: order.tunName, mtu: order.mtu, addresses });
  }

  /** As a crash: nothing is said to the peer, and the device goes with the process. */
  async kill(): Promise<void> {
    const child = this.#running();
    const ended = exitOf(child);
    child.kill("SIGKILL");
    await ended;
  }

  count(type: StaticPeerEvent["type"]): number {
    return this.events.filter((event) => event.type === type).length;
  }

  /** Roles of all sessions made until now, in order. */
  async roles(): Promise<readonly string[]> {
    await this.report();
    return this.events.flatMap((event) => (event.type === "installed" ? [event.role] : []));
  }

  /** Causes of all handshake messages that changed nothing until now, in order. */
  async drops(): Promise<readonly string[]> {
    await this.report();
    return this.events.flatMap((event) => (event.type === "dropped" ? [event.cause] : []));
  }

  /** When it comes, all events before it have come. */
  async report(): Promise<StaticPeerReport> {
    const reports = (): readonly StaticPeerReport[] => this.events.filter((event) => event.type === "report");
    const before = reports().length;
    this.#running().stdin?.write("report\n");
    await this.until("our side reports", () => reports().length > before);
    const report = reports()[before];
    if (report === undefined) throw new Error("no report");
    return report;
  }

  /** Looks at every event; throws with what came when the time is over or the process ends. */
  async until(what: string, holds: () => boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (how: string): void => reject(new Error(`${what}: ${how}\n${JSON.stringify(this.events.slice(-20))}\n${this.#errors}`));
    const look = (): void => {
      if (holds()) resolve();
      else if (this.#process?.exitCode !== null || this.#process.signalCode !== null) fail("the process ended");
    };
    const limit = setTimeout(() => fail(`not within ${EVENT_TIMEOUT / 1_000} s`), EVENT_TIMEOUT);
    this.#listeners.add(look);
    look();
    try {
      await promise;
    } finally {
      this.#listeners.delete(look);
      clearTimeout(limit);
    }
  }

  #running(): ChildProcess {
    if (this.#process === undefined) throw new Error("our side was not started");
    return this.#process;
  }

  #received(event: StaticPeerEvent): void {
    this.events.push(event);
    this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
