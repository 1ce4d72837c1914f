import type { Ip, Millis } from "@mesh/core/ports";

/** Join attempts that may run at once: each holds a connection for up to 30 s and costs a Noise handshake (1 ms of CPU). */
export const MAX_CONCURRENT_JOINS = 8;
/** Attempts one source may make in a row: a joiner that reaches one member by several of its addresses makes a few. */
export const JOIN_BURST = 5;
/** Then one more each of these: 5 in 10 s. */
export const JOIN_INTERVAL: Millis = 2_000;
/** Sources remembered. When full the one that was refilled longest ago makes room, so memory is bounded and a flood of sources forgets only old ones. */
export const MAX_SOURCES = 1_024;

interface Bucket {
  /** When the bucket would be full again. */
  fullAt: Millis;
}

/** Token buckets, one per source address. */
export class JoinLimit {
  readonly #buckets = new Map<Ip, Bucket>();
  #running = 0;

  /** undefined: refused. Otherwise call the result when the attempt is over. */
  enter(source: Ip, now: Millis): (() => void) | undefined {
    if (this.#running >= MAX_CONCURRENT_JOINS || !this.#takeToken(source, now)) return undefined;
    this.#running += 1;
    let isOver = false;
    return () => {
      if (!isOver) this.#running -= 1;
      isOver = true;
    };
  }

  get sources(): number {
    return this.#buckets.size;
  }

  #takeToken(source: Ip, now: Millis): boolean {
    const fullAt = Math.max(this.#buckets.get(source)?.fullAt ?? now, now) + JOIN_INTERVAL;
    if (fullAt > now + JOIN_BURST * JOIN_INTERVAL) return false;
    this.#buckets.delete(source);
    this.#buckets.set(source, { fullAt });
    const oldest = this.#buckets.keys().next();
    if (this.#buckets.size > MAX_SOURCES && !oldest.done) this.#buckets.delete(oldest.value);
    return true;
  }
}
