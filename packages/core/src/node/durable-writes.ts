import type { NodeEffect } from "./node-effect.ts";
import { encodeSnapshot, type NodeSnapshot } from "./snapshot.ts";

type Continuation = () => readonly NodeEffect[];

/** Id of writes that nobody waits for. */
export const UNAWAITED = 0;

/**
 * The `node` document on its way to the disk, and what may only be told once it is there. Writes of one document become
 * durable in order, so what waits for one may go when a later one is reported.
 */
export class DurableWrites {
  #lastId = UNAWAITED;
  #durableId = UNAWAITED;
  readonly #waiting = new Map<number, Continuation[]>();

  /** `then` runs when the write is durable. */
  write(snapshot: NodeSnapshot, then?: Continuation): NodeEffect {
    const id = ++this.#lastId;
    if (then !== undefined) this.#waiting.set(id, [then]);
    return { type: "persist", id, document: "node", bytes: encodeSnapshot(snapshot) };
  }

  /** Runs after everything written so far is durable: at once, if it is. */
  whenDurable(then: Continuation): readonly NodeEffect[] {
    if (this.#durableId === this.#lastId) return then();
    this.#waiting.set(this.#lastId, [...(this.#waiting.get(this.#lastId) ?? []), then]);
    return [];
  }

  persisted(id: number): readonly NodeEffect[] {
    this.#durableId = Math.max(this.#durableId, id);
    const due = [...this.#waiting.entries()].filter(([waitsFor]) => waitsFor <= this.#durableId).sort(([a], [b]) => a - b);
    for (const [waitsFor] of due) this.#waiting.delete(waitsFor);
    return due.flatMap(([, continuations]) => continuations.flatMap((then) => then()));
  }
}
