import { type Clock, type Millis, type NodeId, neighbourLongestAgo } from "@mesh/core/ports";
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
/** While the records are to be settled, which is at a goodbye: sets are mostly equal, so that most frames have 32 bytes, and a silent peer must not hold up the others. */
export const MAX_SETTLING = 32;

interface SyncRoundsOptions {
  readonly clock: Clock;
  /** Compares records with the node, as the one that begins. Rejects when that fails. */
  run(node: NodeId, signal: AbortSignal): Promise<SyncOutcome>;
  /** Nodes for which this is false are not compared with, but may be later. */
  maySync(node: NodeId): boolean;
  onFailed(node: NodeId, error: unknown): void;
  /** It is the node's turn. */
  onTurn(node: NodeId): void;
}

/** A further sync that is due with a node. */
interface Further {
  readonly idleRest: Millis;
  readonly cancel: () => void;
}

/** When to compare records with whom: on demand, and every minute with the neighbour for whom it is longest ago. */
export class SyncRounds {
  readonly #options: SyncRoundsOptions;
  /** Linked nodes, and when a comparison with each was last asked for. */
  readonly #neighbours = new Map<NodeId, Millis | undefined>();
  readonly #queue = new Set<NodeId>();
  readonly #running = new Set<NodeId>();
  /** One for each node at most, kept until its next sync brings something new or leaves nothing. */
  readonly #further = new Map<NodeId, Further>();
  readonly #closing = new AbortController();
  readonly #timers = new Set<() => void>();
  /** Who waits for a comparison with the node that begins after they asked, and hands over everything. */
  readonly #settling = new Map<NodeId, ((isSettled: boolean) => void)[]>();

  constructor(options: SyncRoundsOptions) {
    this.#options = options;
    this.#after(ROUND_INTERVAL, () => this.#round());
  }

  linked(node: NodeId): void {
    this.#neighbours.set(node, undefined);
  }

  unlinked(node: NodeId): void {
    this.#neighbours.delete(node);
    this.#queue.delete(node);
    this.#forget(node);
    this.#settle(node, false);
  }

  /** Compares with the node as soon as there is room. */
  syncWith(node: NodeId): void {
    if (this.#closing.signal.aborted || !this.#neighbours.has(node)) return;
    this.#neighbours.set(node, this.#options.clock.now());
    if (!this.#options.maySync(node)) return;
    this.#queue.add(node);
    this.#startNext();
  }

  /**
   * Compares with every neighbour, and until nothing is left to hand over. Resolves when all are done or have failed, or when the time
   * is over: with the number of neighbours that certainly have every record that this node had when it was asked.
   */
  async settle(within: Millis): Promise<number> {
    const nodes = this.#closing.signal.aborted ? [] : [...this.#neighbours.keys()].filter((node) => this.#options.maySync(node));
    let settled = 0;
    const waits = nodes.map((node) => {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      this.#settling.set(node, [...(this.#settling.get(node) ?? []), resolve]);
      const done = promise.then((isSettled) => {
        if (isSettled) settled += 1;
      });
      return { node, resolve, done };
    });
    const over = Promise.withResolvers<void>();
    const cancel = this.#after(within, () => over.resolve());
    for (const node of nodes) this.syncWith(node);
    await Promise.race([Promise.all(waits.map(({ done }) => done)), over.promise]);
    cancel();
    const result = settled;
    for (const { node, resolve } of waits) this.#settle(node, false, [resolve]);
    return result;
  }

  /** Aborted by `close`. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  close(): void {
    this.#closing.abort(new Error("closed"));
    this.#queue.clear();
    for (const node of [...this.#settling.keys()]) this.#settle(node, false);
    for (const cancel of this.#timers) cancel();
  }

  #round(): void {
    this.#after(ROUND_INTERVAL, () => this.#round());
    const turn = neighbourLongestAgo(this.#neighbours.keys(), (node) => this.#neighbours.get(node));
    if (turn === undefined) return;
    this.#options.onTurn(turn);
    this.syncWith(turn);
  }

  #startNext(): void {
    for (const node of this.#queue) {
      if (this.#running.size >= (this.#settling.size > 0 ? MAX_SETTLING : MAX_RUNNING)) return;
      if (this.#running.has(node)) continue;
      this.#queue.delete(node);
      this.#running.add(node);
      void this.#run(node);
    }
  }

  /** Never rejects. */
  async #run(node: NodeId): Promise<void> {
    const { run, onFailed } = this.#options;
    const asked = this.#settling.get(node) ?? [];
    try {
      const outcome = await run(node, this.#closing.signal);
      if (this.#neighbours.has(node)) this.#goOn(node, outcome);
      if (!outcome.isPartial) this.#settle(node, true, asked);
    } catch (error) {
      if (!this.#closing.signal.aborted) onFailed(node, error);
      this.#settle(node, false, asked);
    }
    this.#running.delete(node);
    this.#startNext();
  }

  /** Those given, or all who wait for the node. */
  #settle(node: NodeId, isSettled: boolean, waiting = this.#settling.get(node) ?? []): void {
    const others = (this.#settling.get(node) ?? []).filter((one) => !waiting.includes(one));
    if (others.length > 0) this.#settling.set(node, others);
    else this.#settling.delete(node);
    for (const resolve of waiting) resolve(isSettled);
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
