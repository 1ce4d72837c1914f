import { BoundedMap } from "../bytes/bounded-map.ts";
import type { NodeId } from "../ids/node-id.ts";
import { MAX_RELAYS_TRIED } from "../path/candidate.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";

/** A relay that was broken is soon tried again, and one that means harm costs a few seconds every so often. */
const AVOIDED_FOR: Millis = minutes(10);
/** A relay that was chosen a moment ago has its chance first: what the peer sends when it has nothing to say comes within 10 s. */
const BETWEEN_BLAMES: Millis = seconds(11);
/** For so long after we told the peer, the same from it is the answer. */
const TELLING_FOR: Millis = seconds(5);
/** Initiations of one handshake by one relay without an answer, while PINGs by it are answered: 15 s by WireGuard's intervals. */
const HANDSHAKES_UNANSWERED = 3;

/**
 * Relays by which probes to one peer pass and packets do not: PINGs alone cannot tell, because a relay sees which datagrams are
 * which. Each end can tell the other that it hears nothing, and each chooses the relay of what it sends itself.
 */
export class DroppingRelays {
  readonly #blamedAt = new BoundedMap<NodeId, Millis>(2 * MAX_RELAYS_TRIED);
  #lastBlameAt: Millis = Number.NEGATIVE_INFINITY;
  #toldAt: Millis = Number.NEGATIVE_INFINITY;
  #handshakes: { readonly relay: NodeId; readonly count: number } | undefined;

  /** Whether the peer is to be told, now or not yet again. */
  mayTell(now: Millis): boolean {
    if (now < this.#toldAt + BETWEEN_BLAMES) return false;
    this.#toldAt = now;
    return true;
  }

  isTelling(now: Millis): boolean {
    return now < this.#toldAt + TELLING_FOR;
  }

  /** Packets do not get through by it. False when another one was blamed a moment ago. */
  blame(relay: NodeId, now: Millis): boolean {
    if (now < this.#lastBlameAt + BETWEEN_BLAMES) return false;
    this.#lastBlameAt = now;
    this.#blamedAt.set(relay, now);
    this.#handshakes = undefined;
    return true;
  }

  /** A handshake leaves by this relay alone. True when so many that did got no answer that the relay is to blame. */
  handshakeSent(relay: NodeId): boolean {
    const before = this.#handshakes?.relay === relay ? this.#handshakes.count : 0;
    this.#handshakes = { relay, count: before + 1 };
    return before >= HANDSHAKES_UNANSWERED;
  }

  /** There is a session. */
  handshakeDone(): void {
    this.#handshakes = undefined;
  }

  /** Those that may be used, in the same order; where all were blamed, the one that was longest ago. */
  without(relays: readonly NodeId[], now: Millis): readonly NodeId[] {
    const blamedAt = (relay: NodeId): Millis => this.#blamedAt.get(relay) ?? Number.NEGATIVE_INFINITY;
    const good = relays.filter((relay) => now >= blamedAt(relay) + AVOIDED_FOR);
    return good.length > 0 ? good : relays.toSorted((a, b) => blamedAt(a) - blamedAt(b)).slice(0, 1);
  }
}
