import { BoundedMap } from "../bytes/bounded-map.ts";
import type { Millis } from "../time/millis.ts";
import { type Rate, RateBucket } from "./source-buckets.ts";

/** What all strangers together may ask for; forged sources make budgets by source worthless. */
export interface StrangerLimits {
  readonly datagrams: Rate; // STRANGERS
  readonly cookies: Rate; // STRANGERS
  readonly again: Rate; // STRANGERS_AGAIN
  readonly handshakes: Rate; // STRANGERS_HANDSHAKES
  readonly knockAgainFor: Millis; // KNOCK_AGAIN_FOR
}

/** One kind of what strangers ask for, and a second budget for those who come again after they were turned away: a peer does. */
export class StrangersShare {
  readonly #rates: { readonly first: Rate; readonly again: Rate };
  readonly #knockAgainFor: Millis;
  readonly #knocks: BoundedMap<string, Millis>;
  #first: RateBucket | undefined;
  #again: RateBucket | undefined;

  constructor(
    rates: { readonly first: Rate; readonly again: Rate },
    options: { readonly knockAgainFor: Millis; readonly maxSources: number },
  ) {
    this.#rates = rates;
    this.#knockAgainFor = options.knockAgainFor;
    this.#knocks = new BoundedMap(options.maxSources);
  }

  take(source: string, now: Millis): boolean {
    this.#first ??= new RateBucket(this.#rates.first, now);
    if (this.#first.take(now)) return true;
    const before = this.#knocks.get(source);
    this.#knocks.set(source, now);
    if (before === undefined || now - before > this.#knockAgainFor) return false;
    this.#again ??= new RateBucket(this.#rates.again, now);
    return this.#again.take(now);
  }
}
