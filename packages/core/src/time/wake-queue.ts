import type { Millis } from "./millis.ts";

interface Entry<T> {
  readonly at: Millis;
  readonly item: T;
}

/**
 * Which item wants to be woken next, in O(log n). An item has one wake-up time; making it later costs nothing, because
 * it is then woken at the earlier time too and asked again. So {@link nextAt} may be early, never late.
 */
export class WakeQueue<T> {
  readonly #heap: Entry<T>[] = [];
  readonly #queuedAt = new Map<T, Millis>();

  schedule(item: T, at: Millis | undefined): void {
    const queuedAt = this.#queuedAt.get(item);
    if (at === undefined || (queuedAt !== undefined && queuedAt <= at)) return;
    this.#queuedAt.set(item, at);
    this.#push({ at, item });
  }

  remove(item: T): void {
    this.#queuedAt.delete(item);
  }

  nextAt(): Millis | undefined {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#queuedAt.get(first.item) === first.at) return first.at;
      this.#pop();
    }
    return undefined;
  }

  /** Takes out one item whose time has come; it has none afterwards. */
  takeDue(now: Millis): T | undefined {
    const at = this.nextAt();
    if (at === undefined || at > now) return undefined;
    const item = this.#pop()?.item;
    if (item !== undefined) this.#queuedAt.delete(item);
    return item;
  }

  #push(entry: Entry<T>): void {
    const heap = this.#heap;
    let hole = heap.length;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.at <= entry.at) break;
      heap[hole] = above;
      hole = parent;
    }
    heap[hole] = entry;
  }

  #pop(): Entry<T> | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let hole = 0;
    for (;;) {
      const left = heap[2 * hole + 1];
      const right = heap[2 * hole + 2];
      if (left === undefined) break;
      const useRight = right !== undefined && right.at < left.at;
      const below = useRight ? right : left;
      if (last.at <= below.at) break;
      heap[hole] = below;
      hole = 2 * hole + (useRight ? 2 : 1);
    }
    heap[hole] = last;
    return first;
  }
}
