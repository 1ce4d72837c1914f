import { type Clock, type Millis, minutes, seconds } from "@mesh/core/ports";

/** A restart of a network daemon removes everything a few times within seconds: all of that is put back at once. */
const BURST = 20;

/** Whoever goes on after that has what he wants most of the time, and so do we; neither eats the processor. */
const INTERVAL: Millis = seconds(1);

/** Between two log lines that say so. */
const SAY_INTERVAL: Millis = minutes(1);

/** How often what others change is put back: {@link BURST} times at once, then once each {@link INTERVAL}. */
export class RestorePace {
  readonly #clock: Clock;
  /** When restores at one each {@link INTERVAL} would have reached as many as there were. */
  #evenAt: Millis = Number.NEGATIVE_INFINITY;
  #saidAt: Millis = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** 0: now. Otherwise the time to wait before asking again. */
  take(): Millis {
    const now = this.#clock.now();
    const evenAt = Math.max(this.#evenAt, now);
    const wait = evenAt - now - (BURST - 1) * INTERVAL;
    if (wait > 0) return wait;
    this.#evenAt = evenAt + INTERVAL;
    return 0;
  }

  /** True when it is time for a word about it. */
  mayTell(): boolean {
    const now = this.#clock.now();
    if (now - this.#saidAt < SAY_INTERVAL) return false;
    this.#saidAt = now;
    return true;
  }
}
