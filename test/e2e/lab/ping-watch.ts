import { setTimeout as sleep } from "node:timers/promises";
import type { LabHost } from "./lab.ts";

/** Seconds between pings. */
const INTERVAL = 0.05;
const LOOK = 20;

/** Pings that go on, to see how long something interrupts them. */
export class PingWatch {
  readonly #child: ReturnType<LabHost["spawn"]>;
  #printed = "";

  constructor(host: LabHost, address: string) {
    this.#child = host.spawn("ping", ["-D", "-n", "-O", "-i", String(INTERVAL), "-W", "2", address]);
    this.#child.stdout?.on("data", (text: Buffer) => {
      this.#printed += text.toString();
    });
  }

  /** Milliseconds since the epoch at which pings that were sent after that instant were answered. */
  repliesTo(sentAfter: number): readonly number[] {
    // `ping -D` says when an answer came, and how long it took.
    return [...this.#printed.matchAll(/^\[(\d+\.\d+)\] \d+ bytes from .* time=([\d.]+) ms/gm)]
      .map(([, at, took]) => ({ at: Number(at) * 1_000, sentAt: Number(at) * 1_000 - Number(took) }))
      .filter(({ sentAt }) => sentAt > sentAfter)
      .map(({ at }) => at);
  }

  /** Milliseconds from then to the first answer to a ping sent later; undefined: none within the time. */
  async outage(changedAt: number, within: number): Promise<number | undefined> {
    for (;;) {
      const [first] = this.repliesTo(changedAt);
      if (first !== undefined) return first - changedAt;
      if (Date.now() > changedAt + within) return undefined;
      await sleep(LOOK);
    }
  }

  stop(): void {
    this.#child.kill("SIGINT");
  }
}
