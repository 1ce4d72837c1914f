import type { Clock } from "../time/clock.ts";
import type { Millis } from "../time/millis.ts";

interface Job {
  readonly dueAt: Millis;
  readonly order: number;
  readonly fn: () => void;
  isCancelled: boolean;
}

/** Wall time at the start of every simulation: 2026-01-01. */
const WALL_START: Millis = 1_767_225_600_000;

/** A clock that jumps from one due job to the next. An hour costs no time. */
export class SimClock implements Clock {
  #now: Millis = 0;
  #order = 0;
  /** A binary heap by (dueAt, order). */
  readonly #jobs: Job[] = [];

  now(): Millis {
    return this.#now;
  }

  wallNow(): Millis {
    return WALL_START + this.#now;
  }

  at(dueAt: Millis, fn: () => void): () => void {
    const job: Job = { dueAt: Math.max(dueAt, this.#now), order: this.#order++, fn, isCancelled: false };
    this.#push(job);
    return () => {
      job.isCancelled = true;
    };
  }

  /** Runs every job due in the next `span`, in order, then stands at its end. */
  advance(span: Millis): void {
    const endAt = this.#now + span;
    for (let job = this.#jobs[0]; job !== undefined && job.dueAt <= endAt; job = this.#jobs[0]) {
      this.#pop();
      if (job.isCancelled) continue;
      this.#now = job.dueAt;
      job.fn();
    }
    this.#now = endAt;
  }

  /** Advances until `isTrue`, looking after every `step`. False when it is not so within `span`. */
  advanceUntil(span: Millis, isTrue: () => boolean, step: Millis = 10): boolean {
    const endAt = this.#now + span;
    while (!isTrue()) {
      if (this.#now >= endAt) return false;
      this.advance(Math.min(step, endAt - this.#now));
    }
    return true;
  }

  #push(job: Job): void {
    let i = this.#jobs.push(job) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#isBefore(i, parent)) break;
      this.#swap(i, parent);
      i = parent;
    }
  }

  #pop(): void {
    this.#swap(0, this.#jobs.length - 1);
    this.#jobs.pop();
    for (let i = 0; ; ) {
      const first = [2 * i + 1, 2 * i + 2].reduce(
        (best, child) => (child < this.#jobs.length && this.#isBefore(child, best) ? child : best),
        i,
      );
      if (first === i) return;
      this.#swap(i, first);
      i = first;
    }
  }

  #isBefore(i: number, j: number): boolean {
    const [a, b] = [this.#jobs[i], this.#jobs[j]];
    return a !== undefined && b !== undefined && (a.dueAt - b.dueAt || a.order - b.order) < 0;
  }

  #swap(i: number, j: number): void {
    const [a, b] = [this.#jobs[i], this.#jobs[j]];
    if (a === undefined || b === undefined) return;
    this.#jobs[i] = b;
    this.#jobs[j] = a;
  }
}
