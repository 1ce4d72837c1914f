/** What flows through the tunnels while something happens to them, and what is seen of it from outside the agents. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { LabHost } from "../../e2e/lab/lab.ts";
import { type Echo, parseEcho } from "./echoes.ts";
import type { LinesEnd } from "./tcp-lines.ts";

const UDP_PORT = 7_100;
const TCP_PORT = 7_101;
const UDP_PROGRAM: string = join(import.meta.dirname, "udp-echo.ts");
const TCP_PROGRAM: string = join(import.meta.dirname, "tcp-lines.ts");
/** Milliseconds between looks at what came. Times are those of the packets, so this costs no precision. */
const LOOK = 20;
/** Milliseconds for the last echoes and lines of a stream that was told to end. */
const END_TIMEOUT = 70_000;

/** Sends back what comes to the host by UDP and by TCP, until the lab is closed. */
export async function openEchoes(host: LabHost): Promise<void> {
  const children = [
    host.spawn(process.execPath, [UDP_PROGRAM, "echo", "0.0.0.0", String(UDP_PORT)]),
    host.spawn(process.execPath, [TCP_PROGRAM, "echo", String(TCP_PORT)]),
  ];
  await Promise.all(children.map(async (child) => await once(linesOf(child), "line")));
}

/** Datagrams to a host's echo and back. */
export class EchoStream {
  readonly #child: ChildProcess;
  readonly #echoes: Echo[] = [];
  readonly #ended: Promise<number>;

  /** `interval` in milliseconds. */
  constructor(from: LabHost, address: string, interval: number) {
    this.#child = from.spawn(process.execPath, [UDP_PROGRAM, "send", address, String(UDP_PORT), String(interval)]);
    this.#ended = new Promise((resolve, reject) => {
      linesOf(this.#child).on("line", (line) => {
        const echo = parseEcho(line);
        if (echo !== undefined) this.#echoes.push(echo);
        else if (line.startsWith("end ")) resolve(Number(line.slice(4)));
      });
      this.#child.once("exit", () => reject(new Error("a stream ended by itself")));
    });
    // Only who ends it asks.
    this.#ended.catch(() => {});
  }

  /** In the order in which they came back. */
  get echoes(): readonly Echo[] {
    return this.#echoes;
  }

  /** The first echo of a datagram that was sent after that instant; undefined: none within so many milliseconds of it. */
  async firstSentAfter(instant: number, within: number): Promise<Echo | undefined> {
    return await poll(() => this.#echoes.find(({ sentAt }) => sentAt > instant), instant + within);
  }

  /** How many were sent. Waits a moment for the last echoes. */
  async end(): Promise<number> {
    this.#child.kill("SIGTERM");
    return await Promise.race([this.#ended, failAfter("a stream of datagrams")]);
  }
}

/** A TCP connection that somebody types in. */
export class TypedLines {
  readonly #child: ChildProcess;
  readonly #said: Promise<string>;

  constructor(from: LabHost, address: string) {
    this.#child = from.spawn(process.execPath, [TCP_PROGRAM, "type", address, String(TCP_PORT)]);
    this.#said = new Promise((resolve, reject) => {
      linesOf(this.#child).once("line", resolve);
      this.#child.once("error", reject);
    });
  }

  async end(): Promise<LinesEnd> {
    this.#child.kill("SIGTERM");
    return JSON.parse(await Promise.race([this.#said, failAfter("lines of TCP")])) as LinesEnd;
  }
}

/** Packets of sessions that reach a host straight, not by a relay: seen by the kernel on the host's own link. */
export class DirectWatch {
  readonly #child: ChildProcess;
  readonly #seen: { readonly at: number; readonly from: string }[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
    linesOf(child).on("line", (line) => {
      const [, seconds, from] = /^(\d+\.\d+) IP (\d+\.\d+\.\d+\.\d+)\.\d+ > /.exec(line) ?? [];
      if (seconds !== undefined && from !== undefined) this.#seen.push({ at: Number(seconds) * 1_000, from });
    });
  }

  static async open(host: LabHost): Promise<DirectWatch> {
    // WireGuard's transport data; what a relay passes on begins otherwise. Incoming only: on a LAN the host sees what it sends itself.
    const filter = "inbound and udp[8:4] = 0x04000000";
    const child = host.spawn("tcpdump", ["-l", "-n", "-tt", "--immediate-mode", "-Z", "root", "-i", "eth0", filter]);
    await new Promise<void>((resolve, reject) => {
      child.stderr?.on("data", () => resolve());
      child.once("error", reject).once("exit", (code) => reject(new Error(`tcpdump ended with ${code}`)));
    });
    return new DirectWatch(child);
  }

  /** Milliseconds since 1970 of the first packet from that address after the instant; undefined: none within so many of it. */
  async firstAfter(instant: number, from: string, within: number): Promise<number | undefined> {
    return (await poll(() => this.#seen.find((packet) => packet.at > instant && packet.from === from), instant + within))?.at;
  }

  close(): void {
    this.#child.removeAllListeners("exit").kill("SIGTERM");
  }
}

/** Asks until there is an answer or the instant (milliseconds since 1970) is over. */
export async function poll<Answer>(ask: () => Answer | undefined, until: number): Promise<Answer | undefined> {
  for (;;) {
    const answer = ask();
    if (answer !== undefined || Date.now() > until) return answer;
    await sleep(LOOK);
  }
}

function linesOf({ stdout }: ChildProcess): ReturnType<typeof createInterface> {
  if (stdout === null) throw new Error("no output to read");
  return createInterface({ input: stdout });
}

async function failAfter(what: string): Promise<never> {
  await sleep(END_TIMEOUT, undefined, { ref: false });
  throw new Error(`${what} did not end`);
}
