import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { MemberCommand, MemberLine } from "../../packages/agent/src/control/member-process-fixture.ts";
import { residentOf } from "../bench/resident.ts";

const PROGRAM = join(import.meta.dirname, "../../packages/agent/src/control/member-process-fixture.ts");
const PATIENCE = 15_000;

/** A member of the control plane alone, in its own process and, when it has a host of the lab, in that namespace. */
export class ControlPeer {
  readonly lines: MemberLine[] = [];
  readonly #child: ChildProcess;
  readonly #ip: string;
  readonly #waiting = new Set<() => void>();

  private constructor(child: ChildProcess, ip: string) {
    this.#child = child;
    this.#ip = ip;
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on("line", (line) => {
        this.lines.push(JSON.parse(line) as MemberLine);
        for (const look of [...this.#waiting]) look();
      });
  }

  static async start(
    name: string,
    place: { readonly ip: string; readonly namespace?: string } = { ip: "127.0.0.1" },
  ): Promise<ControlPeer> {
    const words = [process.execPath, PROGRAM, name, place.ip];
    const [program = "", ...args] = place.namespace === undefined ? words : ["ip", "netns", "exec", place.namespace, ...words];
    // The test runner's environment would make it a test.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const peer = new ControlPeer(spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], env }), place.ip);
    await peer.until((line) => line.type === "open");
    return peer;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  resident(): number {
    return residentOf(this.pid);
  }

  tell(command: MemberCommand): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  connect(to: ControlPeer): void {
    const opened = to.lines.find((line) => line.type === "open");
    if (opened?.type === "open") this.tell({ do: "connect", node: opened.node, ip: to.#ip, port: opened.port });
  }

  /** Has it been given a record of this name? */
  has(record: string): boolean {
    return this.lines.some((line) => line.type === "record" && line.record.includes(record));
  }

  /** The first line that matches, from the `from`th on. */
  async until(matches: (line: MemberLine) => boolean, from = 0, patience: number = PATIENCE): Promise<void> {
    const holds = (): boolean => this.lines.slice(from).some(matches);
    if (holds()) return;
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!holds()) return;
        this.#waiting.delete(look);
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`not within ${patience} ms; came: ${JSON.stringify(this.lines.slice(-20))}`));
      }, patience);
      this.#waiting.add(look);
    });
  }

  async untilRecord(record: string, patience?: number): Promise<void> {
    await this.until((line) => line.type === "record" && line.record.includes(record), 0, patience);
  }

  kill(): void {
    this.#child.kill("SIGCONT");
    this.#child.kill("SIGKILL");
  }
}
