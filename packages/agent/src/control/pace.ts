import type { Millis } from "@mesh/core/ports";

interface PaceOptions {
  /** Units one key may use in a row … */
  readonly burst: number;
  /** … and then one more each of these; below 1 for units as small as bytes. */
  readonly interval: Millis;
}

/** Keys remembered. When full the one used longest ago makes room, so memory is bounded and a flood of keys forgets only old ones. */
export const MAX_KEYS = 1_024;

/** A token bucket for each key: what one member or source may make us do. */
export class Pace<K> {
  readonly #burst: number;
  readonly #interval: Millis;
  /** When each bucket would be full again; the one used longest ago stands first. */
  readonly #fullAt = new Map<K, Millis>();

  constructor({ burst, interval }: PaceOptions) {
    this.#burst = burst;
    this.#interval = interval;
  }

  /** Uses one unit; false, and nothing is used, when there is none left. */
  take(key: K, now: Millis): boolean {
    const fullAt = this.#after(key, now, 1);
    if (fullAt > now + this.#burst * this.#interval) return false;
    this.#remember(key, fullAt);
    return true;
  }

  /** Uses so many units, whether or not there are as many. Returns how long to wait before the key is within its pace again; 0: not at all. */
  spend(key: K, amount: number, now: Millis): Millis {
    const fullAt = this.#after(key, now, amount);
    this.#remember(key, fullAt);
    return Math.max(0, fullAt - now - this.#burst * this.#interval);
  }

  get keys(): number {
    return this.#fullAt.size;
  }

  #after(key: K, now: Millis, amount: number): Millis {
    return Math.max(this.#fullAt.get(key) ?? now, now) + amount * this.#interval;
  }

  #remember(key: K, fullAt: Millis): void {
    this.#fullAt.delete(key);
    this.#fullAt.set(key, fullAt);
    const oldest = this.#fullAt.keys().next();
    if (this.#fullAt.size > MAX_KEYS && !oldest.done) this.#fullAt.delete(oldest.value);
  }
}
