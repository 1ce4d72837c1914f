import { type Endpoint, sameEndpoint } from "../address/endpoint.ts";
import type { Way } from "../address/way.ts";
import type { Random } from "../crypto/crypto.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Candidate, MAX_RELAYS_TRIED, relayed, sameCandidate } from "../path/candidate.ts";
import { NEW_PATH, type PathEffect, type PathEvent, pathWakeAt } from "../path/path-state.ts";
import type { ProbeExchange } from "../path/probe-exchange.ts";
import { stepPath } from "../path/step-path.ts";
import type { PeerSlot, RelayMember } from "../ports/datapath.ts";
import { MAX_REFLEXIVE } from "../records/endpoint-record.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { TokenBucket } from "../time/token-bucket.ts";
import { earliest } from "../time/wake.ts";
import { MAX_OFFERED, type ProbePurpose } from "../wire/probe.ts";
import { CandidateLog } from "./candidate-log.ts";
import type { Counters } from "./counters.ts";
import { DroppingRelays } from "./dropping-relays.ts";
import type { NodeEffect } from "./node-effect.ts";
import { ObservedEndpoints } from "./observed-endpoints.ts";
import { isInNeed, type OuterPlace, type Peer, type PublishedPlace, type Surroundings } from "./peer.ts";
import { PeerWays } from "./peer-ways.ts";
import { ProbeBudget, type ProbeReason } from "./probe-budget.ts";
import { Rendezvous } from "./rendezvous.ts";
import type { SlotTable } from "./slot-table.ts";
import { Unasked } from "./unasked.ts";

/** PINGs for one peer: a probing round over all its candidates goes through at once, a flood of claims does not. */
const PEER_PROBES = { burst: 100, perSecond: 20 };
/** Offers of one peer that are answered: each makes us send a round of PINGs where it says. */
const PEER_OFFERS = { burst: 6, perSecond: 0.5 };

/** An end that only receives sends a keepalive every 10 s. */
const HEARD_LATELY: Millis = seconds(11);
/** Of the reflexive endpoints: one for each family of addresses is what routers have to give. */
const MAX_MAPPED = MAX_REFLEXIVE / 2;

/** Between failed peers that are tried again when our network changed: with 8 addresses and 5 rounds each, within the budget of all. */
const RETRY_SPACING: Millis = 150;

/**
 * How packets get to every peer: its path, the ways in the engine that follow from it, and the relays between. Says which members
 * this node keeps a way open to, and where others find it. Knows nothing of sessions.
 */
export class PeerPaths {
  readonly ways: PeerWays = new PeerWays();
  readonly #counters: Counters;
  readonly #probes: ProbeExchange;
  readonly #ownEndpoints: () => readonly Endpoint[];
  readonly #mappedEndpoints: () => readonly Endpoint[];
  readonly #peers = new Map<PeerSlot, Peer>();
  readonly #slots: SlotTable;
  readonly #rendezvous: Rendezvous;
  readonly #observed = new ObservedEndpoints();
  readonly #unasked = new Unasked();
  readonly #probeBudget = new ProbeBudget();
  /** Only of peers whose path has something to wait for: few of many. */
  readonly #wakes = new Map<PeerSlot, Millis>();
  #hasMoved = false;

  constructor(options: {
    readonly random: Random;
    readonly counters: Counters;
    readonly probes: ProbeExchange;
    readonly slots: SlotTable;
    /** Where this host can be found by its own addresses. */
    readonly ownEndpoints: () => readonly Endpoint[];
    /** Where routers let others in, by their word. */
    readonly mappedEndpoints: () => readonly Endpoint[];
  }) {
    this.#counters = options.counters;
    this.#probes = options.probes;
    this.#slots = options.slots;
    this.#ownEndpoints = options.ownEndpoints;
    this.#mappedEndpoints = options.mappedEndpoints;
    this.#rendezvous = new Rendezvous(options.random);
  }

  peers(): Iterable<readonly [PeerSlot, Peer]> {
    return this.#peers;
  }

  get(slot: PeerSlot): Peer | undefined {
    return this.#peers.get(slot);
  }

  add(slot: PeerSlot, node: NodeId): void {
    this.#peers.set(slot, {
      node,
      path: NEW_PATH,
      candidates: new CandidateLog(),
      used: [],
      homes: [],
      isRelay: false,
      dropping: new DroppingRelays(),
      heldHandshake: undefined,
      handshake: { by: [], sentAt: 0 },
      boot: undefined,
      unansweredAt: undefined,
      heardInTunnelAt: Number.NEGATIVE_INFINITY,
      probeBudget: new TokenBucket(PEER_PROBES),
      offerBudget: new TokenBucket(PEER_OFFERS),
    });
  }

  remove(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return [];
    this.#rendezvous.used(slot, []);
    this.#peers.delete(slot);
    this.#wakes.delete(slot);
    this.#observed.forget(peer.node);
    this.ways.delete(slot);
    return peer.isRelay ? this.#relayChanged(peer.node, now) : [];
  }

  // Where this node is

  /** Reflexive addresses: where peers saw us, without repetition. */
  observed(): readonly string[] {
    return this.#observed.all();
  }

  /** A peer says where it saw us. */
  noteObserved(observer: NodeId, seen: Endpoint, now: Millis): readonly NodeEffect[] {
    if (!this.#observed.note(observer, seen, now)) return [];
    this.#hasMoved = true;
    return this.#unasked.isReachable ? this.#tendHomes(now) : [];
  }

  /** A PING of ours was answered straight from there. */
  answeredFrom(endpoint: Endpoint, now: Millis): void {
    this.#probeBudget.answered(endpoint, now);
  }

  /** A control link leads there. */
  linkedAt({ ip }: Endpoint, now: Millis): void {
    this.#probeBudget.forgive(ip, now);
  }

  /** An authentic PING came straight from there, and nothing was sent back yet. */
  heardUnasked({ ip }: Endpoint, now: Millis): readonly NodeEffect[] {
    if (!this.#unasked.heard(ip, now)) return [];
    this.#hasMoved = true;
    return this.#tendHomes(now);
  }

  assumeReachable(): void {
    this.#unasked.assume();
  }

  /** What others should know of how to reach this node, beside its own addresses. */
  place(now: Millis): OuterPlace {
    const reflexive = this.#reflexive(this.#ownEndpoints(), now);
    return { reflexive, isReachable: this.#unasked.isReachable, homes: this.#rendezvous.homes };
  }

  /**
   * Where a NAT lets others in. A router that maps knows its own port; but its word may be wrong or outdated, so that it takes no more
   * than half of the room from what peers see, and such a place is knocked at as carefully as any NAT.
   */
  #reflexive(own: readonly Endpoint[], now: Millis): readonly Endpoint[] {
    const mapped = this.#mappedEndpoints().slice(0, MAX_MAPPED);
    const seen = this.#observed
      .reflexive(own, now, this.#rendezvous.homes)
      .filter((endpoint) => !mapped.some((one) => sameEndpoint(one, endpoint)));
    return [...mapped, ...seen].slice(0, MAX_REFLEXIVE);
  }

  surroundings(now: Millis): Surroundings {
    const homes = this.#rendezvous.homes.map((node) => ({ node, every: this.#rendezvous.keepaliveOf(node) }));
    const mapping = this.#observed.mapping(this.#ownEndpoints(), now);
    return { mapping, sightings: this.#observed.sightings(now), isReachable: this.#unasked.isReachable, homes };
  }

  /** Whether {@link place} may say something else than when this was asked last. */
  takeMoved(): boolean {
    const hasMoved = this.#hasMoved;
    this.#hasMoved = false;
    return hasMoved;
  }

  /** Whom this node can relay for. */
  relayMembers(): readonly RelayMember[] {
    return [...this.#peers.keys()].flatMap((slot) => {
      const number = this.ways.numberOf(slot);
      const pass = this.#probes.passes(slot)?.theirs;
      return number === undefined || pass === undefined ? [] : [{ slot, number, pass }];
    });
  }

  /** What the peer says of where it is. */
  published(slot: PeerSlot, place: PublishedPlace, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return [];
    peer.homes = place.homes;
    peer.isRelay = place.isRelay;
    return [...this.step(slot, { type: "published", ...place }, now), ...this.#offerRelays(slot, now), ...this.#tendHomes(now)];
  }

  /** The peer said goodbye. */
  stopped(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer !== undefined) peer.isRelay = false;
    return [...this.step(slot, { type: "stopped" }, now), ...this.#tendHomes(now)];
  }

  /** Our own addresses or default routes changed. Homes are asked first, then paths in use, at last those that failed, one after the other. */
  networkChanged(now: Millis): readonly NodeEffect[] {
    this.#observed.clear();
    this.#probeBudget.clear();
    this.#unasked.moved(this.#ownEndpoints());
    this.#hasMoved = true;
    const effects: NodeEffect[] = [];
    let retryAt = now;
    const homesFirst = [...this.#peers].sort(([, a], [, b]) => this.#rendezvous.rank(a.node) - this.#rendezvous.rank(b.node));
    for (const [slot, { path }] of homesFirst) {
      if (path.state.name === "failed") retryAt += RETRY_SPACING;
      effects.push(...this.step(slot, { type: "network-changed", retryAt }, now));
    }
    return effects;
  }

  timer(now: Millis): readonly NodeEffect[] {
    const effects: NodeEffect[] = [];
    for (const [slot, dueAt] of [...this.#wakes]) if (dueAt <= now) effects.push(...this.step(slot, { type: "timer" }, now));
    return effects;
  }

  wakeAt(): Millis | undefined {
    return earliest(...this.#wakes.values());
  }

  // Paths

  #stepOf(node: NodeId, event: PathEvent, now: Millis): readonly NodeEffect[] {
    const slot = this.#slots.slotOf(node);
    return slot === undefined ? [] : this.step(slot, event, now);
  }

  #peerOf(node: NodeId): Peer | undefined {
    const slot = this.#slots.slotOf(node);
    return slot === undefined ? undefined : this.#peers.get(slot);
  }

  /** Something happened to a peer's path. */
  step(slot: PeerSlot, event: PathEvent, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return [];
    peer.candidates.note(event, now);
    const before = peer.path.state.name;
    const step = stepPath(peer.path, event, now);
    peer.path = step.peer;
    const wakeAt = pathWakeAt(step.peer);
    if (wakeAt === undefined) this.#wakes.delete(slot);
    else this.#wakes.set(slot, wakeAt);
    const effects = step.effects.flatMap((effect) => this.#perform(slot, peer, effect, now));
    const after = step.peer.state.name;
    if (after !== before || step.effects.some(({ type }) => type === "use")) effects.push(...this.#tendRelays(slot, peer, now));
    if (after === before) return effects;
    this.#counters.count(`path.${after}`);
    if (isInNeed(step.peer)) effects.push(...this.#offerRelays(slot, now));
    // Perhaps it is we who cannot be heard any more, and a relay must learn where we are before it passes anything on.
    if (after === "suspect") effects.push(...step.peer.relays.flatMap((relay) => this.#stepOf(relay, { type: "doubted" }, now)));
    if (after === "probing") effects.push(...peer.homes.flatMap((home) => this.#wantRelay(home, now)));
    if (after === "direct" || before === "direct") effects.push(...this.#relayChanged(peer.node, now));
    return effects;
  }

  #perform(slot: PeerSlot, peer: Peer, effect: PathEffect, now: Millis): readonly NodeEffect[] {
    switch (effect.type) {
      case "ping":
        return this.ping(slot, effect.to, { ...effect, now });
      case "offer":
        return this.offer(slot, effect, now);
      case "use": {
        peer.used = effect.candidates;
        const hasMoved = this.ways.use(slot, effect.candidates);
        const held = peer.heldHandshake;
        peer.heldHandshake = undefined;
        return [
          ...this.#setWays(slot, peer),
          ...(hasMoved ? this.#followRelay(peer.node) : []),
          ...(held === undefined ? [] : this.sendAll(slot, peer.used, held, now)),
        ];
      }
    }
  }

  #setWays(slot: PeerSlot, { used }: Peer): readonly NodeEffect[] {
    const ways = used.flatMap((candidate) => this.ways.wayOf(slot, candidate) ?? []);
    return [{ type: "set-ways", slot, ways }];
  }

  /** Packets that this member relays for us go where it is now. */
  #followRelay(relay: NodeId): readonly NodeEffect[] {
    return [...this.#peers].flatMap(([slot, peer]) =>
      peer.used.some((candidate) => sameCandidate(candidate, relayed(relay))) ? this.#setWays(slot, peer) : [],
    );
  }

  // Relays

  /** A path straight to this member opened or closed: whoever is reached by it, or could be, must know. */
  #relayChanged(relay: NodeId, now: Millis): readonly NodeEffect[] {
    if (this.#peerOf(relay)?.isRelay === false) return [];
    const effects = [...this.#tendHomes(now)];
    const isHome = this.#rendezvous.homes.includes(relay);
    for (const [slot, { node, homes }] of this.#peers)
      if (node !== relay && (isHome || homes.includes(relay))) effects.push(...this.#offerRelays(slot, now));
    return effects;
  }

  /** Tells the path which relays there are: the peer's homes, then ours. */
  #offerRelays(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return [];
    const named = [...peer.homes, ...this.#rendezvous.homes];
    const reached = [...new Set(isInNeed(peer.path) ? [...named, ...this.#openRelays()] : named)].filter(
      (relay) => relay !== peer.node && this.#peerOf(relay)?.path.state.name === "direct",
    );
    const relays = peer.dropping.without(reached, now).slice(0, MAX_RELAYS_TRIED);
    const isRelayable = peer.homes.length > 0 || this.#rendezvous.homes.length > 0 || (!this.#unasked.isReachable && this.#hasRelay(peer));
    const { relays: known, isRelayable: wasRelayable } = peer.path;
    const isKnown = relays.length === known.length && relays.every((relay, i) => relay === known[i]);
    return isKnown && isRelayable === wasRelayable ? [] : this.step(slot, { type: "relays", relays, isRelayable }, now);
  }

  /** Packets go out, probes are answered, and nothing comes in: the peer is told, by all that reach it. */
  unheard(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer === undefined || !peer.dropping.mayTell(now)) return [];
    return peer.path.relays.flatMap((relay) => this.ping(slot, relayed(relay), { purpose: "unheard", now }));
  }

  /** The peer hears nothing of our packets: where we hear its own, or neither of us hears anything, the relay that we chose is to blame. */
  toldUnheard(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return [];
    const isOurs = peer.dropping.isTelling(now) || now - peer.heardInTunnelAt < HEARD_LATELY;
    return isOurs ? this.relayDrops(slot, now) : this.unheard(slot, now);
  }

  /** Packets do not get through by the relay in use: others are tried first from now on. */
  relayDrops(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    const used = peer?.path.state.name === "relayed" ? peer.path.state.path.candidate : undefined;
    if (peer === undefined || used?.type !== "relay" || peer.path.relays.every((relay) => relay === used.relay)) return [];
    if (!peer.dropping.blame(used.relay, now)) return [];
    this.#counters.count("path.relayDrops");
    return this.#offerRelays(slot, now);
  }

  #hasRelay(besides: Peer): boolean {
    for (const peer of this.#peers.values()) if (peer.isRelay && peer !== besides) return true;
    return false;
  }

  /** Members that relay and that we reach now: for a peer that nobody else leads to. One more than are tried, in case the peer is among them. */
  #openRelays(): readonly NodeId[] {
    const open: NodeId[] = [];
    for (const { node, isRelay, path } of this.#peers.values()) {
      if (isRelay && path.state.name === "direct") open.push(node);
      if (open.length > MAX_RELAYS_TRIED) break;
    }
    return open;
  }

  #wantRelay(relay: NodeId, now: Millis): readonly NodeEffect[] {
    const peer = this.#peerOf(relay);
    return peer === undefined || peer.path.state.name === "direct" ? [] : this.#stepOf(relay, { type: "wanted" }, now);
  }

  /** Homes are needed where nobody comes in unasked, or does so only as long as a NAT remembers. */
  #tendHomes(now: Millis): readonly NodeEffect[] {
    const mapping = this.#observed.mapping(this.#ownEndpoints(), now);
    const isOpen = this.#unasked.isReachable && (mapping === "none" || mapping === "unknown");
    const offers = isOpen
      ? []
      : [...this.#peers.values()].flatMap(({ node, isRelay, path }) =>
          isRelay ? [{ node, rtt: path.state.name === "direct" ? path.state.path.rtt : undefined }] : [],
        );
    const { changed, wanted } = this.#rendezvous.choose(offers);
    this.#hasMoved ||= changed.length > 0;
    return [
      ...wanted.flatMap((relay) => this.#wantRelay(relay, now)),
      ...changed.flatMap((relay) => this.#stepOf(relay, { type: "keepalive", every: this.#rendezvous.keepaliveOf(relay) }, now)),
      ...(changed.length === 0 ? [] : [...this.#peers.keys()].flatMap((slot) => this.#offerRelays(slot, now))),
    ];
  }

  /** A relay that packets go by is asked often enough to stay open; one that they would go by is not. */
  #tendRelays(slot: PeerSlot, { used, path }: Peer, now: Millis): readonly NodeEffect[] {
    const isAwake = path.state.name === "relayed" || path.state.name === "suspect" || path.state.name === "probing";
    const relays = isAwake ? used.flatMap((candidate) => (candidate.type === "relay" ? [candidate.relay] : [])) : [];
    return this.#rendezvous
      .used(slot, relays)
      .flatMap((relay) => this.#stepOf(relay, { type: "keepalive", every: this.#rendezvous.keepaliveOf(relay) }, now));
  }

  // What goes out

  /** Straight to the engine, noting that we spoke to whoever is there. */
  send(way: Way, bytes: Uint8Array, now: Millis, ttl?: number): readonly NodeEffect[] {
    this.#unasked.sent(way.endpoint.ip, now);
    return [{ type: "send-datagram", way, bytes, ...(ttl !== undefined && { ttl }) }];
  }

  /** A handshake message, by each of them that leads anywhere. */
  sendAll(slot: PeerSlot, candidates: readonly Candidate[], bytes: Uint8Array, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer !== undefined) peer.handshake = { by: candidates, sentAt: now };
    return candidates.flatMap((candidate) => {
      const way = this.ways.wayOf(slot, candidate);
      return way === undefined ? [] : this.send(way, bytes, now);
    });
  }

  ping(
    slot: PeerSlot,
    to: Candidate,
    options: { readonly purpose: ProbePurpose; readonly now: Millis; readonly ttl?: number },
  ): readonly NodeEffect[] {
    const { purpose, now, ttl } = options;
    const way = this.ways.wayOf(slot, to);
    if (way === undefined) return [];
    // A path in use was proven, and what a relay passes on comes to where the relay has proven it.
    const isClaimed = to.type === "direct" && purpose !== "heartbeat";
    const reason: ProbeReason = purpose === "triggered" ? "triggered" : ttl === undefined ? "searching" : "opening";
    if (isClaimed && !this.#probeBudget.affords(to.endpoint, reason, now)) {
      this.#counters.count("probe.heldBack");
      return [];
    }
    if (!this.#affords(slot, purpose !== "heartbeat", now)) return [];
    if (isClaimed) this.#probeBudget.sent(to.endpoint, reason, now);
    const bytes = this.#probes.ping(slot, to, options);
    if (bytes === undefined) return [];
    this.#peers.get(slot)?.candidates.asked(to, now);
    return this.send(way, bytes, now, ttl);
  }

  /** Says where we may be found. */
  offer(slot: PeerSlot, { by, isAnswer }: Omit<Extract<PathEffect, { type: "offer" }>, "type">, now: Millis): readonly NodeEffect[] {
    const way = this.ways.wayOf(slot, by);
    if (way === undefined || !this.#affords(slot, true, now)) return [];
    const all = this.#ownEndpoints();
    const reflexive = this.#reflexive(all, now);
    const own = all.slice(0, MAX_OFFERED - reflexive.length);
    const bytes = this.#probes.frame(slot, { type: "offer", own, reflexive, isAnswer });
    return bytes === undefined ? [] : this.send(way, bytes, now);
  }

  /** Those for paths in use are few by themselves, and a live peer must not be taken for dead because others are looked for. */
  #affords(slot: PeerSlot, isShared: boolean, now: Millis): boolean {
    const budget = this.#peers.get(slot)?.probeBudget;
    const isAfforded = budget?.take(now) === true && (!isShared || this.#probeBudget.takeOfHost(now));
    if (!isAfforded) this.#counters.count("probe.overBudget");
    return isAfforded;
  }
}
