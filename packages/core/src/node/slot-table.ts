import type { NodeId } from "../ids/node-id.ts";

/**
 * Gives each peer the small number by which the engine knows it. A slot is free again when its peer is released; the
 * lowest free one is taken, so the engine's arrays stay dense.
 */
export class SlotTable {
  readonly #slots = new Map<NodeId, number>();
  readonly #nodes: (NodeId | undefined)[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The peer's slot, taken now if it has none; undefined when all are taken. */
  take(node: NodeId): number | undefined {
    const known = this.#slots.get(node);
    if (known !== undefined) return known;
    const free = this.#nodes.indexOf(undefined);
    const slot = free === -1 ? this.#nodes.length : free;
    if (slot >= this.#limit) return undefined;
    this.#slots.set(node, slot);
    this.#nodes[slot] = node;
    return slot;
  }

  release(node: NodeId): void {
    const slot = this.#slots.get(node);
    if (slot === undefined) return;
    this.#slots.delete(node);
    this.#nodes[slot] = undefined;
  }

  slotOf(node: NodeId): number | undefined {
    return this.#slots.get(node);
  }
}
