import { isPrivate } from "../address/ip.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Candidate, MAX_RELAYS_TRIED, relayed } from "../path/candidate.ts";
import type { PathEvent } from "../path/path-state.ts";
import type { PeerSlot } from "../ports/datapath.ts";
import { MAX_HOMES } from "../records/endpoint-record.ts";
import { type Millis, seconds } from "../time/millis.ts";
import type { Mapping, ProbePurpose } from "../wire/probe.ts";
import type { NodeEffect } from "./node-effect.ts";
import { isInNeed, type Peer } from "./peer.ts";
import type { Rendezvous } from "./rendezvous.ts";

/** An end that only receives sends a keepalive every 10 s. */
const HEARD_LATELY: Millis = seconds(11);

interface RelaySurroundings {
  readonly peers: ReadonlyMap<PeerSlot, Peer>;
  readonly rendezvous: Rendezvous;
  slotOf(node: NodeId): PeerSlot | undefined;
  /** Others come in unasked. */
  isReachable(): boolean;
  mapping(now: Millis): Mapping;
  /** Only TCP reaches it. */
  isByTcp(node: NodeId): boolean;
  homesChanged(): void;
  step(slot: PeerSlot, event: PathEvent, now: Millis): readonly NodeEffect[];
  ping(slot: PeerSlot, to: Candidate, options: { readonly purpose: ProbePurpose; readonly now: Millis }): readonly NodeEffect[];
  count(what: string): void;
}

/** Which members relay for which peer, which of them this node keeps a way open to, and which it had better leave. */
export class PeerRelays {
  readonly #node: RelaySurroundings;
  #isWanting = false;

  constructor(node: RelaySurroundings) {
    this.#node = node;
  }

  /** A path straight to this member opened or closed: whoever is reached by it, or could be, must know. */
  pathChanged(relay: NodeId, now: Millis): readonly NodeEffect[] {
    if (this.#peerOf(relay)?.isRelay === false) return [];
    const effects = [...this.tendHomes(now)];
    const isHome = this.#node.rendezvous.homes.includes(relay);
    for (const [slot, { node, homes }] of this.#node.peers)
      if (node !== relay && (isHome || homes.includes(relay))) effects.push(...this.offer(slot, now));
    return effects;
  }

  /** Tells the path which relays there are: the peer's homes, then ours; those that UDP reaches before those that only TCP does. */
  offer(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#node.peers.get(slot);
    if (peer === undefined) return [];
    const named = [...peer.homes, ...this.#node.rendezvous.homes];
    const reached = [...new Set(isInNeed(peer.path) ? [...named, ...this.#openRelays()] : named)].filter(
      (relay) => relay !== peer.node && this.#peerOf(relay)?.path.state.name === "direct",
    );
    const relays = peer.dropping
      .without(reached, now)
      .toSorted((a, b) => Number(this.#node.isByTcp(a)) - Number(this.#node.isByTcp(b)))
      .slice(0, MAX_RELAYS_TRIED);
    const byTcp = relays.filter((relay) => this.#node.isByTcp(relay));
    const isRelayable =
      peer.homes.length > 0 || this.#node.rendezvous.homes.length > 0 || (!this.#node.isReachable() && this.#hasRelay(peer));
    const { relays: known, tcpRelays, isRelayable: wasRelayable } = peer.path;
    const isKnown = sameNodes(relays, known) && sameNodes(byTcp, tcpRelays);
    return isKnown && isRelayable === wasRelayable ? [] : this.#node.step(slot, { type: "relays", relays, byTcp, isRelayable }, now);
  }

  /** Packets go out, probes are answered, and nothing comes in: the peer is told, by all that reach it. */
  unheard(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#node.peers.get(slot);
    if (peer === undefined || !peer.dropping.mayTell(now)) return [];
    return peer.path.relays.flatMap((relay) => this.#node.ping(slot, relayed(relay), { purpose: "unheard", now }));
  }

  /** The peer hears nothing of our packets: where we hear its own, or neither of us hears anything, the relay that we chose is to blame. */
  toldUnheard(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#node.peers.get(slot);
    if (peer === undefined) return [];
    const isOurs = peer.dropping.isTelling(now) || now - peer.heardInTunnelAt < HEARD_LATELY;
    return isOurs ? this.drops(slot, now) : this.unheard(slot, now);
  }

  /** Packets do not get through by the relay in use: others are tried first from now on. */
  drops(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#node.peers.get(slot);
    const used = peer?.path.state.name === "relayed" ? peer.path.state.path.candidate : undefined;
    if (peer === undefined || used?.type !== "relay" || peer.path.relays.every((relay) => relay === used.relay)) return [];
    if (!peer.dropping.blame(used.relay, now)) return [];
    this.#node.count("path.relayDrops");
    return this.offer(slot, now);
  }

  #hasRelay(besides: Peer): boolean {
    for (const peer of this.#node.peers.values()) if (peer.isRelay && peer !== besides) return true;
    return false;
  }

  /** Members that relay and that we reach now: for a peer that nobody else leads to. One more than are tried, in case the peer is among them. */
  #openRelays(): readonly NodeId[] {
    const open: NodeId[] = [];
    for (const { node, isRelay, path } of this.#node.peers.values()) {
      if (isRelay && path.state.name === "direct") open.push(node);
      if (open.length > MAX_RELAYS_TRIED) break;
    }
    return open;
  }

  /** Only its own: a relay that is wanted for somebody else is reached straight or not at all, however long a chain members make of their homes. */
  wantHomesOf({ homes }: Peer, now: Millis): readonly NodeEffect[] {
    if (this.#isWanting) return [];
    this.#isWanting = true;
    try {
      return homes.flatMap((home) => this.want(home, now));
    } finally {
      this.#isWanting = false;
    }
  }

  want(relay: NodeId, now: Millis): readonly NodeEffect[] {
    const peer = this.#peerOf(relay);
    return peer === undefined || peer.path.state.name === "direct" ? [] : this.#stepOf(relay, { type: "wanted" }, now);
  }

  /** Homes are needed where nobody comes in unasked, or does so only as long as a NAT remembers. */
  tendHomes(now: Millis): readonly NodeEffect[] {
    const mapping = this.#node.mapping(now);
    const isOpen = this.#node.isReachable() && (mapping === "none" || mapping === "unknown");
    const offers = isOpen
      ? []
      : [...this.#node.peers.values()].flatMap(({ node, isRelay, path }) =>
          isRelay ? [{ node, rtt: path.state.name === "direct" ? path.state.path.rtt : undefined }] : [],
        );
    const { changed, wanted } = this.#node.rendezvous.choose(offers);
    const lacking = isOpen ? 0 : MAX_HOMES - this.#node.rendezvous.homes.length;
    if (changed.length > 0) this.#node.homesChanged();
    return [
      ...wanted.flatMap((relay) => this.want(relay, now)),
      ...(lacking > 0 ? this.#knock(lacking, now) : []),
      ...changed.flatMap((relay) => this.#stepOf(relay, { type: "keepalive", every: this.#node.rendezvous.keepaliveOf(relay) }, now)),
      ...(changed.length === 0 ? [] : [...this.#node.peers.keys()].flatMap((slot) => this.offer(slot, now))),
    ];
  }

  /** Members with a public address learn by PINGs that they did not ask for that they are reachable, and then relay. Each is asked once. */
  #knock(count: number, now: Millis): readonly NodeEffect[] {
    const strangers: PeerSlot[] = [];
    for (const [slot, { isRelay, path, candidates }] of this.#node.peers) {
      const isPublic = path.own.some(({ ip }) => !isPrivate(ip));
      if (!isRelay && isPublic && path.state.name === "dormant" && candidates.all().length === 0) strangers.push(slot);
      if (strangers.length === count) break;
    }
    return strangers.flatMap((slot) => this.#node.step(slot, { type: "wanted" }, now));
  }

  /** A relay that packets go by is asked often enough to stay open; one that they would go by is not. */
  tend(slot: PeerSlot, { used, path }: Peer, now: Millis): readonly NodeEffect[] {
    const isAwake = path.state.name === "relayed" || path.state.name === "suspect" || path.state.name === "probing";
    const relays = isAwake ? used.flatMap((candidate) => (candidate.type === "relay" ? [candidate.relay] : [])) : [];
    return this.#node.rendezvous
      .used(slot, relays)
      .flatMap((relay) => this.#stepOf(relay, { type: "keepalive", every: this.#node.rendezvous.keepaliveOf(relay) }, now));
  }

  #stepOf(node: NodeId, event: PathEvent, now: Millis): readonly NodeEffect[] {
    const slot = this.#node.slotOf(node);
    return slot === undefined ? [] : this.#node.step(slot, event, now);
  }

  #peerOf(node: NodeId): Peer | undefined {
    const slot = this.#node.slotOf(node);
    return slot === undefined ? undefined : this.#node.peers.get(slot);
  }
}

function sameNodes(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((node, i) => node === b[i]);
}
