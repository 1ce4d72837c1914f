import type { LabHost } from "../lab/lab.ts";

export interface PingOptions {
  /** 1 unless told. */
  readonly count?: number;
  /** Bytes of ICMP payload; 56 unless told. */
  readonly size?: number;
  /** Seconds between two; 0.02 unless told. */
  readonly interval?: number;
  /** Source address instead of the device's. */
  readonly from?: string;
}

/** Seconds that answers may take on a busy machine. */
const PATIENCE = 10;

/**
 * Pings until `count` answers have come or time is over; returns the sequence numbers of the first `count`, in the order
 * of the answers. On a faultless way they are `allInOrder(count)`: whatever is lost shows as a gap.
 */
export async function ping(host: LabHost, target: string, options: PingOptions = {}): Promise<readonly number[]> {
  const { count = 1, interval = INTERVAL } = options;
  // With -c alone, ping waits no longer than twice the longest round trip so far for its last answer. With -w it waits, and asks on.
  const answered = await answers(host, target, { options, waiting: ["-w", Math.ceil(count * interval) + PATIENCE] });
  return answered.slice(0, count);
}

/** Sends exactly `count` pings that are not expected to be answered, and waits for a second after the last. */
export function pingInVain(host: LabHost, target: string, options: PingOptions = {}): Promise<readonly number[]> {
  return answers(host, target, { options, waiting: ["-W", 1] });
}

/** What `ping` returns when nothing was lost, repeated or overtaken. */
export function allInOrder(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

const INTERVAL = 0.02;

interface Asked {
  readonly options: PingOptions;
  readonly waiting: readonly [string, number];
}

async function answers(host: LabHost, target: string, { options, waiting }: Asked): Promise<readonly number[]> {
  const { count = 1, size = 56, interval = INTERVAL, from } = options;
  const words = ["-n", "-c", count, "-s", size, "-i", interval, ...waiting, ...(from === undefined ? [] : ["-I", from]), target];
  const { stdout } = await host.run("ping", words.map(String), { timeout: 60_000 + count * interval * 1_000 });
  return [...stdout.matchAll(/bytes from .* icmp_seq=(\d+) /g)].map(([, sequence]) => Number(sequence));
}
