import assert from "node:assert/strict";
import { type Clock, type Millis, seconds } from "@mesh/core/ports";

/**
 * Longest single `setTimeout`. Its clock stands still while the machine sleeps, so after a wake-up a timer that was
 * due meanwhile fires at most this late. Also keeps far below 2^31 - 1 ms, from where on setTimeout fires at once.
 */
const LONGEST_NAP: Millis = seconds(2);

/**
 * `bootNow` is CLOCK_BOOTTIME in milliseconds, which Node cannot read by itself: the engine's. Without it the clock is
 * monotonic and stands still while the machine sleeps.
 */
export function systemClock(bootNow: () => Millis = monotonicNow): Clock {
  const timers = new Timers(bootNow);
  return { now: bootNow, wallNow: () => Date.now(), at: (dueAt, fn) => timers.add(dueAt, fn) };
}

interface Timer {
  readonly dueAt: Millis;
  readonly fn: () => void;
}

/** All timers behind one `setTimeout`: an idle agent has a dozen that are far away, and each of its own would wake it every nap. */
class Timers {
  readonly #bootNow: () => Millis;
  readonly #pending = new Set<Timer>();
  #nap: NodeJS.Timeout | undefined;
  #napEndsAt = Number.POSITIVE_INFINITY;

  constructor(bootNow: () => Millis) {
    this.#bootNow = bootNow;
  }

  add(dueAt: Millis, fn: () => void): () => void {
    assert(!Number.isNaN(dueAt), "a timer needs an instant");
    const timer = { dueAt, fn };
    this.#pending.add(timer);
    if (dueAt < this.#napEndsAt) this.#arm();
    return () => {
      this.#pending.delete(timer);
      if (this.#pending.size === 0) this.#arm();
    };
  }

  #arm(): void {
    clearTimeout(this.#nap);
    this.#napEndsAt = Number.POSITIVE_INFINITY;
    const next = this.#earliest();
    if (next === undefined) return;
    const now = this.#bootNow();
    const nap = Math.min(LONGEST_NAP, Math.max(1, Math.ceil(next.dueAt - now)));
    this.#napEndsAt = now + nap;
    this.#nap = setTimeout(() => this.#wake(), nap);
  }

  /** What is due now fires in order; what it asks for meanwhile comes later, however soon it is due. */
  #wake(): void {
    const now = this.#bootNow();
    const due = [...this.#pending].filter(({ dueAt }) => dueAt <= now).sort((a, b) => a.dueAt - b.dueAt);
    try {
      for (const timer of due) if (this.#pending.delete(timer)) timer.fn();
    } finally {
      this.#arm();
    }
  }

  #earliest(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#pending) if (first === undefined || timer.dueAt < first.dueAt) first = timer;
    return first;
  }
}

function monotonicNow(): Millis {
  return Number(process.hrtime.bigint()) / 1e6;
}
