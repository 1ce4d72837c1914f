import { formatWay, type RelayHeader, sameWay, type Way } from "../address/way.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Candidate, direct, relayed } from "../path/candidate.ts";
import type { PeerSlot } from "../ports/datapath.ts";

/** What a peer's ways are made of. */
export interface WayPeer {
  readonly node: NodeId;
  /** By its certificate; undefined where another node holds it: such a peer is not relayed to. */
  readonly number: number | undefined;
  /** What we show it when it shall relay for us. */
  readonly pass: number;
}

/**
 * Candidates, which name nodes, and ways, which name addresses. A relay is where its own packets go: when it moves, every way by
 * it moves along.
 */
export class PeerWays {
  readonly #peers = new Map<PeerSlot, WayPeer>();
  readonly #slots = new Map<NodeId, PeerSlot>();
  /** Where packets to a peer go first, if that is straight; and who is there. */
  readonly #straight = new Map<PeerSlot, Way>();
  readonly #at = new Map<string, PeerSlot>();
  #ownNumber: number | undefined;

  get ownNumber(): number | undefined {
    return this.#ownNumber;
  }

  set ownNumber(number: number | undefined) {
    this.#ownNumber = number;
  }

  set(slot: PeerSlot, peer: WayPeer): void {
    this.#peers.set(slot, peer);
    this.#slots.set(peer.node, slot);
  }

  delete(slot: PeerSlot): void {
    this.use(slot, []);
    const peer = this.#peers.get(slot);
    if (peer !== undefined) this.#slots.delete(peer.node);
    this.#peers.delete(slot);
  }

  numberOf(slot: PeerSlot): number | undefined {
    return this.#peers.get(slot)?.number;
  }

  /** Packets to the peer go there from now on. True when ways by this peer are other ones now. */
  use(slot: PeerSlot, candidates: readonly Candidate[]): boolean {
    const before = this.#straight.get(slot);
    const first = candidates[0];
    const now = first?.type === "direct" ? wayTo(first) : undefined;
    if (before !== undefined && this.#at.get(formatWay(before)) === slot) this.#at.delete(formatWay(before));
    if (now === undefined) this.#straight.delete(slot);
    else {
      this.#straight.set(slot, now);
      this.#at.set(formatWay(now), slot);
    }
    return !sameWay(before, now);
  }

  /** undefined: the relay is nowhere to be found, or a number is missing. */
  wayOf(slot: PeerSlot, candidate: Candidate): Way | undefined {
    if (candidate.type === "direct") return wayTo(candidate);
    const relay = this.#slots.get(candidate.relay);
    const number = this.#peers.get(slot)?.number;
    return relay === undefined || number === undefined ? undefined : this.#by(relay, number);
  }

  /** How a datagram came: by whom, or from where; undefined: by a relay that is none of ours. */
  candidateOf(from: Way): Candidate | undefined {
    if (from.relay === undefined) return direct(from.endpoint, from.socket);
    const relay = this.#at.get(hopOf(from));
    const peer = relay === undefined ? undefined : this.#peers.get(relay);
    return peer === undefined ? undefined : relayed(peer.node);
  }

  /** Who sent a relayed datagram is said by its header, and proven by what it carries. */
  isFrom(slot: PeerSlot, { relay }: Way): boolean {
    return relay === undefined || relay.from === this.#peers.get(slot)?.number;
  }

  /** The way back. undefined as for {@link wayOf}. */
  back(from: Way): Way | undefined {
    if (from.relay === undefined) return from;
    const relay = this.#at.get(hopOf(from));
    return relay === undefined ? undefined : this.#by(relay, from.relay.from);
  }

  #by(relay: PeerSlot, to: number): Way | undefined {
    const way = this.#straight.get(relay);
    const peer = this.#peers.get(relay);
    if (way === undefined || peer === undefined || this.#ownNumber === undefined) return undefined;
    const header: RelayHeader = { from: this.#ownNumber, to, pass: peer.pass };
    return { ...way, relay: header };
  }
}

function wayTo({ endpoint, socket }: Extract<Candidate, { type: "direct" }>): Way {
  return socket === undefined ? { endpoint } : { endpoint, socket };
}

/** Without what the relay says. */
function hopOf({ endpoint, socket = 0 }: Way): string {
  return formatWay({ endpoint, socket });
}
