import type { Clock, Millis } from "@mesh/core/ports";

/** Time that passes when the test says so, with room for promises between one timer and the next. */
export class SettlingClock implements Clock {
  #now: Millis = 0;
  readonly #timers = new Set<{ readonly dueAt: Millis; readonly fn: () => void }>();

  now(): Millis {
    return this.#now;
  }

  wallNow(): Millis {
    return this.#now;
  }

  at(dueAt: Millis, fn: () => void): () => void {
    const timer = { dueAt, fn };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get pending(): number {
    return this.#timers.size;
  }

  /** Runs what is due, in order, with all promises settled in between. */
  async advance(duration: Millis): Promise<void> {
    const end = this.#now + duration;
    for (;;) {
      await settled();
      const next = [...this.#timers].filter(({ dueAt }) => dueAt <= end).sort((a, b) => a.dueAt - b.dueAt)[0];
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.dueAt);
      next.fn();
    }
    this.#now = end;
  }
}

/** All promises that can settle without time or sockets have. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
