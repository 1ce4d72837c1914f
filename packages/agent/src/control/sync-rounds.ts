import type { Clock, Millis, NodeId } from "@mesh/core/ports";
import type { SyncOutcome } from "./record-sync.ts";

/** Loss of gossip is repaired within this time and the number of neighbours: each minute one of them is compared with. */
export const ROUND_INTERVAL: Millis = 60_000;
/** After a sync that could not hand over everything: core has merged by then. */
export const REST_AFTER: Millis = 500;
/** After one that brought nothing new though more is said to be left; twice as long after each further one … */
export const IDLE_REST: Millis = 1_000;
/** … up to the pace of the rounds. */
export const MAX_IDLE_REST: Millis = ROUND_INTERVAL;
/** Syncs this node runs at a time, each with a frame of 1 MiB at most; others wait for their turn. */
export const MAX_RUNNING = 4;

interface SyncRoundsOptions {
  readonly clock: Clock;
  /** Compares records with the node, as the one that begins. Rejects when that fails. */
  run(node: NodeId, signal: AbortSignal): Promise<SyncOutcome>;
  /** Nodes for which this is false are not compared with, but may be later. */
  maySync(node: NodeId): boolean;
  onFailed(node: NodeId, error: unknown): void;
}

/** A further sync that is due with a node. */
interface Further {
  readonly idleRest: Millis;
  readonly cancel: () => void;
}

/** When to compare records with whom: on demand, and every minute with the neighbour for whom it is longest ago. */
export class SyncRounds {
  readonly #options: SyncRoundsOptions;
  /** Linked nodes; the one whose turn was longest ago stands first. */
  readonly #neighbours = new Set<NodeId>();
  readonly #queue = new Set<NodeId>();
  readonly #running = new Set<NodeId>();
  /** One for each node at most, kept until its next sync brings something new or leaves nothing. */
  readonly #further = new Map<NodeId, Further>();
  readonly #closing = new AbortController();
  readonly #timers = new Set<() => void>();

  constructor(options: SyncRoundsOptions) {
    this.#options = options;
    this.#after(ROUND_INTERVAL, () => this.#round());
  }

  linked(node: NodeId): void {
    this.#neighbours.add(node);
  }

  unlinked(node: NodeId): void {
    this.#neighbours.delete(node);
    this.#queue.delete(node);
    this.#forget(node);
  }

  /** Compares with the node as soon as there is room. */
  syncWith(node: NodeId): void {
    if (this.#closing.signal.aborted || !this.#neighbours.delete(node)) return;
    this.#neighbours.add(node);
    if (!this.#options.maySync(node)) return;
    this.#queue.add(node);
    this.#startNext();
  }

  /** Aborted by `close`. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  close(): void {
    this.#closing.abort(new Error("closed"));
    this.#queue.clear();
    for (const cancel of this.#timers) cancel();
  }

  #round(): void {
    this.#after(ROUND_INTERVAL, () => this.#round());
    const longestAgo = this.#neighbours.values().next();
    if (longestAgo.done !== true) this.syncWith(longestAgo.value);
  }

  #startNext(): void {
    for (const node of this.#queue) {
      if (this.#running.size >= MAX_RUNNING) return;
      if (this.#running.has(node)) continue;
      this.#queue.delete(node);
      this.#running.add(node);
      void this.#run(node);
    }
  }

  /** Never rejects. */
  async #run(node: NodeId): Promise<void> {
    const { run, onFailed } = this.#options;
    try {
      const outcome = await run(node, this.#closing.signal);
      if (this.#neighbours.has(node)) this.#goOn(node, outcome);
    } catch (error) {
      if (!this.#closing.signal.aborted) onFailed(node, error);
    }
    this.#running.delete(node);
    this.#startNext();
  }

  #goOn(node: NodeId, { isPartial, received, fresh, sent }: SyncOutcome): void {
    const lastRest = this.#further.get(node)?.idleRest ?? 0;
    this.#forget(node);
    if (!isPartial || received + sent === 0) return;
    const idleRest = fresh > 0 ? 0 : Math.min(lastRest === 0 ? IDLE_REST : 2 * lastRest, MAX_IDLE_REST);
    this.#further.set(node, { idleRest, cancel: this.#after(fresh > 0 ? REST_AFTER : idleRest, () => this.syncWith(node)) });
  }

  #forget(node: NodeId): void {
    this.#further.get(node)?.cancel();
    this.#further.delete(node);
  }

  #after(wait: Millis, work: () => void): () => void {
    if (this.#closing.signal.aborted) return () => {};
    const { clock } = this.#options;
    const cancel = clock.at(clock.now() + wait, () => {
      this.#timers.delete(cancel);
      work();
    });
    this.#timers.add(cancel);
    return () => {
      this.#timers.delete(cancel);
      cancel();
    };
  }
}
