import type { Millis } from "./millis.ts";

/** Lets `burst` through at once and then `perSecond`: a bound on what others can make us do. */
export class TokenBucket {
  readonly #burst: number;
  readonly #perMilli: number;
  #tokens: number;
  #filledAt: Millis = 0;

  constructor(options: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = options.burst;
    this.#perMilli = options.perSecond / 1_000;
    this.#tokens = options.burst;
  }

  /** False when there is nothing left. */
  take(now: Millis): boolean {
    if (!this.has(now)) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Whether {@link take} would be true now. */
  has(now: Millis): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filledAt) * this.#perMilli);
    this.#filledAt = now;
    return this.#tokens >= 1;
  }
}
