/**
 * Gossip between two connected peers dies without a word when the connection that carries its streams closes while
 * another stays open (roaming, both dialling at once), or when a stream is reset (too much queued): the router opens
 * streams when a connection opens, never again (js-libp2p #3531). The keeper looks where that can have happened, and opens
 * them anew.
 *
 *   link opens      → looks every 20 ms until gossip flows, at most 1 s: then the link is usable (`onReady`)
 *   one of several connections closed → looks after 50 ms
 *   every 5 s       → looks at every link
 *   seen dead       → the smaller node heals at once, the larger one when it is dead at the next look too (both at once
 *                     would reset each other's new streams); looks again after 1 s
 *   healed          → `onHealed`: what was published meanwhile is missing, so the records must be compared
 */
import type { Clock, Millis, NodeId } from "@mesh/core/ports";

interface GossipKeeperOptions {
  readonly self: NodeId;
  readonly clock: Clock;
  /** Streams both ways, and the peer is known to be subscribed. */
  isHealthy(node: NodeId): boolean;
  /** Resets what is left of the streams and opens new ones. */
  heal(node: NodeId): void;
  onReady(node: NodeId): void;
  onHealed(node: NodeId): void;
}

const READY_LOOK: Millis = 20;
export const READY_TIMEOUT: Millis = 1_000;
const REDUCED_LOOK: Millis = 50;
const HEALED_LOOK: Millis = 1_000;
/** A reset stream is noticed by no event; a mesh of 50 links costs 150 map look-ups each time. */
export const ROUTINE_LOOK: Millis = 5_000;

interface Watched {
  isReady: boolean;
  readonly readyBy: Millis;
  /** Looks in a row that found it dead. */
  deadLooks: number;
  cancel: () => void;
}

export class GossipKeeper {
  readonly #options: GossipKeeperOptions;
  readonly #watched = new Map<NodeId, Watched>();

  constructor(options: GossipKeeperOptions) {
    this.#options = options;
  }

  /** A connection to the node can carry gossip now. */
  opened(node: NodeId): void {
    if (this.#watched.has(node)) return;
    const readyBy = this.#options.clock.now() + READY_TIMEOUT;
    this.#watched.set(node, { isReady: false, readyBy, deadLooks: 0, cancel: () => {} });
    this.#look(node);
  }

  /** A connection to the node closed, others stay. */
  reduced(node: NodeId): void {
    if (this.#watched.get(node)?.isReady === true) this.#lookAfter(node, REDUCED_LOOK);
  }

  closed(node: NodeId): void {
    this.#watched.get(node)?.cancel();
    this.#watched.delete(node);
  }

  close(): void {
    for (const node of [...this.#watched.keys()]) this.closed(node);
  }

  #lookAfter(node: NodeId, wait: Millis): void {
    const { clock } = this.#options;
    const watched = this.#watched.get(node);
    if (watched === undefined) return;
    watched.cancel();
    watched.cancel = clock.at(clock.now() + wait, () => this.#look(node));
  }

  #look(node: NodeId): void {
    const { self, clock, isHealthy, heal, onReady, onHealed } = this.#options;
    const watched = this.#watched.get(node);
    if (watched === undefined) return;
    const isAlive = isHealthy(node);
    if (!watched.isReady && !isAlive && clock.now() < watched.readyBy) {
      this.#lookAfter(node, READY_LOOK);
    } else if (!watched.isReady) {
      watched.isReady = true;
      this.#lookAfter(node, isAlive ? ROUTINE_LOOK : HEALED_LOOK);
      onReady(node);
    } else if (isAlive) {
      const wasDead = watched.deadLooks > 0;
      watched.deadLooks = 0;
      this.#lookAfter(node, ROUTINE_LOOK);
      if (wasDead) onHealed(node);
    } else {
      watched.deadLooks += 1;
      this.#lookAfter(node, HEALED_LOOK);
      if (self < node || watched.deadLooks > 1) heal(node);
    }
  }
}
