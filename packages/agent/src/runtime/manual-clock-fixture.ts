import type { Clock, Millis } from "@mesh/core/ports";

interface Timer {
  readonly dueAt: Millis;
  readonly fn: () => void;
}

/** A clock for tests: time passes only in {@link advance}, and timers fire in the order they are due. */
export class ManualClock implements Clock {
  #now: Millis;
  #wallOffset: Millis = 0;
  readonly #timers = new Set<Timer>();

  constructor(now: Millis = 0) {
    this.#now = now;
  }

  now(): Millis {
    return this.#now;
  }

  wallNow(): Millis {
    return this.#now + this.#wallOffset;
  }

  at(dueAt: Millis, fn: () => void): () => void {
    const timer = { dueAt, fn };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  get timerCount(): number {
    return this.#timers.size;
  }

  advance(duration: Millis): void {
    const end = this.#now + duration;
    for (let next = this.#nextDue(end); next !== undefined; next = this.#nextDue(end)) {
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.dueAt);
      next.fn();
    }
    this.#now = end;
  }

  /** Somebody sets the wall clock. */
  stepWall(by: Millis): void {
    this.#wallOffset += by;
  }

  #nextDue(end: Millis): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) if (timer.dueAt <= end && (first === undefined || timer.dueAt < first.dueAt)) first = timer;
    return first;
  }
}
