import type { Millis } from "@mesh/core/ports";

export interface BootClockSources {
  /** Milliseconds since any moment, without steps; stands still while the machine sleeps (CLOCK_MONOTONIC). */
  readonly monotonic: () => Millis;
  /** Milliseconds of CLOCK_BOOTTIME, cut to some coarse unit. */
  readonly boot: () => Millis;
}

/**
 * How often the coarse source is read, by the fine one: it costs 10 µs [Node 24.21, 2-core Zen 4], and a suspend is noticed
 * this long after it at most.
 */
const READ_INTERVAL: Millis = 100;

/**
 * CLOCK_BOOTTIME at the resolution of CLOCK_MONOTONIC, from what Node can read without waiting. The two differ by the time
 * asleep, which never shrinks; every reading of the coarse one, cut off below, bounds the difference from below:
 *
 *     difference >= boot read between two looks at monotonic - the later look
 *
 * The largest bound so far is the difference to within the unit, after some readings to within microseconds. So the clock
 * never goes backwards, is never ahead, and follows a suspend.
 */
export class BootClock {
  readonly #sources: BootClockSources;
  #difference = Number.NEGATIVE_INFINITY;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(sources: BootClockSources) {
    this.#sources = sources;
  }

  now(): Millis {
    const { monotonic, boot } = this.#sources;
    const at = monotonic();
    if (at - this.#readAt < READ_INTERVAL) return at + this.#difference;
    const coarse = boot();
    const after = monotonic();
    this.#difference = Math.max(this.#difference, coarse - after);
    this.#readAt = after;
    return after + this.#difference;
  }
}
