/**
 * Gossip between two connected peers dies without a word when the connection that carries its streams closes while
 * another stays open (roaming, both dialling at once), or when a stream is reset (too much queued): the router opens
 * streams when a connection opens, never again (js-libp2p #3531). The keeper looks where that can have happened, asks
 * whether it really delivers, and heals it: gossip-health.ts has the rules.
 *
 *   link opens                         → looks every 20 ms until gossip flows, at most 1 s: then the link is usable (`onReady`); asks
 *   one of several connections closed  → looks every 20 ms until the streams have moved over
 *   every 5 s                          → looks at every link
 *   `doubt`                            → asks: when the records are compared anyway, and after the network changed
 *   seen dead, or not answered         → `heal`, after five times in vain `cut`; looks on until it is answered
 *   answered after that                → `onHealed`: what was published meanwhile is missing, so the records must be compared
 */
import { type Clock, equalBytes, type Millis, type NodeId } from "@mesh/core/ports";
import { type GossipHealth, type GossipSeen, type GossipStep, newGossipHealth, stepGossip } from "./gossip-health.ts";
import type { GossipHello } from "./gossip-hello.ts";
import { Pace } from "./pace.ts";

interface GossipKeeperOptions {
  readonly self: NodeId;
  readonly clock: Clock;
  /** 16 random bytes. */
  nonce(): Uint8Array;
  /** Streams both ways, and the peer is known to be subscribed. */
  flows(node: NodeId): boolean;
  /** To this neighbour alone, by gossip. What cannot be sent is lost. */
  tell(node: NodeId, hello: GossipHello): void;
  /** Resets what is left of the streams and opens new ones. */
  heal(node: NodeId): void;
  /** Closes the connections with the node. */
  cut(node: NodeId): void;
  onReady(node: NodeId): void;
  /** A question was answered. */
  onProven(node: NodeId): void;
  onHealed(node: NodeId): void;
}

/** Between two cuts of one peer: one that does not listen to us on purpose, for what we sent, is not made to by new connections. */
export const CUT_INTERVAL: Millis = 600_000;

/** Answers to one neighbour in a row: a link that comes up amid crossed dials asks three times, and one that flaps does so each time … */
const ANSWER_BURST = 64;
/** … and then one more each of these: a question left without its answer costs an honest neighbour 3 s, a megabyte of questions would be 10,000 answers. */
const ANSWER_INTERVAL: Millis = 100;

interface Watched {
  health: GossipHealth;
  /** Nonce of the last question. */
  asked: Uint8Array | undefined;
  cancel: () => void;
}

/** Since the start. */
export interface GossipCounts {
  readonly asked: number;
  readonly answered: number;
  /** Times that streams were opened anew. */
  readonly heals: number;
  /** Connections given up because that did not help. */
  readonly cuts: number;
}

export class GossipKeeper {
  readonly #options: GossipKeeperOptions;
  readonly #watched = new Map<NodeId, Watched>();
  /** Those of the last CUT_INTERVAL. */
  readonly #cutAt = new Map<NodeId, Millis>();
  readonly #answers = new Pace<NodeId>({ burst: ANSWER_BURST, interval: ANSWER_INTERVAL });
  #counts: GossipCounts = { asked: 0, answered: 0, heals: 0, cuts: 0 };

  constructor(options: GossipKeeperOptions) {
    this.#options = options;
  }

  get counts(): GossipCounts {
    return this.#counts;
  }

  /** A connection to the node can carry gossip now. */
  opened(node: NodeId): void {
    if (this.#watched.has(node)) return;
    this.#watched.set(node, { health: newGossipHealth(this.#options.clock.now()), asked: undefined, cancel: () => {} });
    this.#step(node, "looked");
  }

  /** A connection to the node closed, others stay. */
  reduced(node: NodeId): void {
    this.#step(node, "reduced");
  }

  /** Asks the node whether gossip still delivers. */
  doubt(node: NodeId): void {
    this.#step(node, "doubted");
  }

  doubtAll(): void {
    for (const node of [...this.#watched.keys()]) this.doubt(node);
  }

  /** A neighbour's hello came by gossip. */
  heard(node: NodeId, { kind, nonce }: GossipHello): void {
    const watched = this.#watched.get(node);
    if (kind === "question") {
      if (this.#answers.take(node, this.#options.clock.now())) this.#options.tell(node, { kind: "answer", nonce });
    } else if (watched?.asked !== undefined && equalBytes(watched.asked, nonce)) {
      watched.asked = undefined;
      this.#count("answered");
      this.#step(node, "answered");
    }
  }

  closed(node: NodeId): void {
    this.#watched.get(node)?.cancel();
    this.#watched.delete(node);
  }

  close(): void {
    for (const node of [...this.#watched.keys()]) this.closed(node);
  }

  #step(node: NodeId, seen: GossipSeen): void {
    const watched = this.#watched.get(node);
    if (watched === undefined) return;
    const { self, clock, flows } = this.#options;
    const now = clock.now();
    const view = { seen, flows: flows(node), now, isSelfSmaller: self < node, mayCut: this.#mayCut(node, now) };
    const { health, does, lookAt } = stepGossip(watched.health, view);
    watched.health = health;
    watched.cancel();
    watched.cancel = clock.at(lookAt, () => this.#step(node, "looked"));
    for (const one of does) this.#do(node, watched, one);
  }

  #do(node: NodeId, watched: Watched, one: GossipStep["does"][number]): void {
    const { clock, nonce, tell, heal, cut, onReady, onProven, onHealed } = this.#options;
    switch (one) {
      case "ready":
        return onReady(node);
      case "ask":
        watched.asked = nonce();
        this.#count("asked");
        return tell(node, { kind: "question", nonce: watched.asked });
      case "heal":
        this.#count("heals");
        return heal(node);
      case "cut":
        this.#cutAt.set(node, clock.now());
        this.#count("cuts");
        return cut(node);
      case "proven":
        return onProven(node);
      case "healed":
        return onHealed(node);
    }
  }

  #mayCut(node: NodeId, now: Millis): boolean {
    for (const [one, at] of this.#cutAt) if (now - at >= CUT_INTERVAL) this.#cutAt.delete(one);
    return !this.#cutAt.has(node);
  }

  #count(name: keyof GossipCounts): void {
    this.#counts = { ...this.#counts, [name]: this.#counts[name] + 1 };
  }
}
