import type { Endpoint } from "../address/endpoint.ts";
import type { Way } from "../address/way.ts";
import type { Random } from "../crypto/crypto.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Candidate, direct, isTcpEndpoint, relayed, sameCandidate } from "../path/candidate.ts";
import { inUse, isFirstDoubt } from "../path/path-rules.ts";
import { type PathEffect, type PathEvent, type PeerPath, pathWakeAt } from "../path/path-state.ts";
import type { ProbeExchange } from "../path/probe-exchange.ts";
import { stepPath } from "../path/step-path.ts";
import type { PeerSlot, RelayMember } from "../ports/datapath.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import { MAX_OFFERED, type ProbeBody, type ProbePurpose } from "../wire/probe.ts";
import type { Counters } from "./counters.ts";
import { KeptHomes } from "./kept-homes.ts";
import type { NodeEffect } from "./node-effect.ts";
import { OwnPlace } from "./own-place.ts";
import { isInNeed, newPeer, type OuterPlace, type Peer, type PublishedPlace, type Surroundings } from "./peer.ts";
import { PeerRelays } from "./peer-relays.ts";
import { pathOf } from "./peer-state.ts";
import { PeerWays } from "./peer-ways.ts";
import { ProbeBudget, type ProbeReason } from "./probe-budget.ts";
import { Punches } from "./punches.ts";
import { Recalls } from "./recalls.ts";
import { Rendezvous } from "./rendezvous.ts";
import type { SlotTable } from "./slot-table.ts";
import { type TcpWay, TcpWays, type TcpWaysStep } from "./tcp-ways.ts";

/** Between failed peers that are tried again when our network changed: with 8 addresses and 5 rounds each, within the budget of all. */
const RETRY_SPACING: Millis = 150;

/** Traffic that goes one way only makes its path ask again and again. */
const UDP_DOUBT_INTERVAL: Millis = seconds(5);

/**
 * How packets get to every peer: its path, the ways in the engine that follow from it, and the relays between. Says which members
 * this node keeps a way open to, and where others find it. Knows nothing of sessions.
 */
export class PeerPaths {
  readonly ways: PeerWays = new PeerWays();
  readonly tcpWays: TcpWays;
  /** When a handshake message left last, to whomever. */
  lastHandshakeAt: Millis = Number.NEGATIVE_INFINITY;
  readonly #counters: Counters;
  readonly #probes: ProbeExchange;
  readonly #peers = new Map<PeerSlot, Peer>();
  readonly #slots: SlotTable;
  readonly #rendezvous: Rendezvous;
  readonly relays: PeerRelays;
  readonly #place: OwnPlace;
  readonly homes: KeptHomes;
  readonly #recalls = new Recalls();
  readonly #punches: Punches;
  readonly #probeBudget = new ProbeBudget();
  #udpDoubtedAt: Millis = Number.NEGATIVE_INFINITY;
  /** Only of peers whose path has something to wait for: few of many. */
  readonly #wakes = new Map<PeerSlot, Millis>();

  constructor(options: {
    readonly random: Random;
    readonly counters: Counters;
    readonly probes: ProbeExchange;
    readonly slots: SlotTable;
    /** May a peer's claim to be there be tried? */
    readonly isUsable: (endpoint: Endpoint) => boolean;
    /** Where this host can be found by its own addresses. */
    readonly ownEndpoints: () => readonly Endpoint[];
    /** Where routers let others in, by their word. */
    readonly mappedEndpoints: () => readonly Endpoint[];
  }) {
    this.#counters = options.counters;
    this.#probes = options.probes;
    this.#slots = options.slots;
    this.#rendezvous = new Rendezvous(options.random);
    const { ownEndpoints: own, mappedEndpoints: mapped } = options;
    this.#place = new OwnPlace({ own, mapped, homes: () => this.#rendezvous.homes });
    this.relays = new PeerRelays({
      peers: this.#peers,
      rendezvous: this.#rendezvous,
      slotOf: (node) => this.#slots.slotOf(node),
      isReachable: () => this.#place.isReachable,
      mapping: (now) => this.#place.mapping(now),
      isByTcp: (node) => this.isByTcp(node),
      homesChanged: () => {
        this.homes.replaced();
        this.#place.homesChanged();
      },
      step: (slot, event, now) => this.step(slot, event, now),
      ping: (slot, to, asking) => this.ping(slot, to, asking),
      count: (what) => this.#counters.count(what),
    });
    this.homes = new KeptHomes({
      random: options.random,
      rendezvous: this.#rendezvous,
      network: () => this.#place.network(),
      keepalive: (relay, now) => this.stepOf(relay, { type: "keepalive", every: this.#rendezvous.keepaliveOf(relay) }, now),
      say: (slot, way, body, now) => this.#say(slot, way, body, now),
      homesChanged: () => this.#place.homesChanged(),
    });
    this.tcpWays = new TcpWays(options.random, (node) => this.#rttOf(node));
    this.#punches = new Punches({
      random: options.random,
      probes: options.probes,
      count: (what) => this.#counters.count(what),
      peers: this.#peers,
      slotOf: (node) => this.#slots.slotOf(node),
      numberOf: (slot) => this.ways.numberOf(slot),
      ownNumber: () => this.ways.ownNumber,
      isUsable: options.isUsable,
      affords: (to, reason, now) => this.#affordsAt(to, reason, now),
      ownMapping: (now) => this.#place.mapping(now),
      ownPlaces: (now) => [...this.#place.reflexive(now), ...this.#place.own()],
      homes: () => this.#rendezvous.homes,
      send: (slot, to, bytes, { now, ttl }) => this.#sendBy(slot, [to], bytes, { now, ttl }),
      answered: (slot, candidate, rtt, now) => this.step(slot, { type: "answered", candidate, rtt }, now),
    });
  }

  /** Searches by further sockets, fresh or many. */
  get punches(): Punches {
    return this.#punches;
  }

  peers(): Iterable<readonly [PeerSlot, Peer]> {
    return this.#peers;
  }

  get(slot: PeerSlot): Peer | undefined {
    return this.#peers.get(slot);
  }

  add(slot: PeerSlot, node: NodeId): void {
    this.#peers.set(slot, newPeer(node));
  }

  remove(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return [];
    this.#rendezvous.used(slot, []);
    this.#peers.delete(slot);
    this.#punches.pathChanged(slot, now);
    this.#wakes.delete(slot);
    this.#recalls.delete(slot);
    this.#place.forget(peer.node);
    this.ways.delete(slot);
    return [...this.#tcpSteps(this.tcpWays.remove(peer.node), now), ...(peer.isRelay ? this.relays.pathChanged(peer.node, now) : [])];
  }

  // Where this node is

  /** Reflexive addresses: where peers saw us, without repetition. */
  observed(): readonly string[] {
    return this.#place.observed();
  }

  /** A peer says, from there, where it saw us. */
  noteObserved(observer: NodeId, seen: { readonly from: Endpoint; readonly at: Endpoint }, now: Millis): readonly NodeEffect[] {
    const kept = this.homes.answered(observer, seen, now);
    if (!this.#place.seen(observer, seen.at, now)) return kept;
    return [...kept, ...(this.#place.isReachable ? this.relays.tendHomes(now) : [])];
  }

  /** A PING of ours was answered straight from there. */
  answeredFrom(endpoint: Endpoint, now: Millis): void {
    this.#probeBudget.answered(endpoint, now);
  }

  /** The peer asks to be called back there. What it asked before its goodbye may have been on the way. */
  recall(slot: PeerSlot, way: Way, body: Extract<ProbeBody, { type: "recall" }>, now: Millis): readonly NodeEffect[] {
    if (this.#peers.get(slot)?.path.state.name !== "stopped") this.#recalls.add(slot, way, body, now);
    return [];
  }

  /** A control link leads there. */
  linkedAt({ ip }: Endpoint, now: Millis): void {
    this.#probeBudget.forgive(ip, now);
  }

  /** An authentic PING came straight from there, and nothing was sent back yet. */
  heardUnasked({ ip }: Endpoint, now: Millis): readonly NodeEffect[] {
    return this.#place.heardUnasked(ip, now) ? this.relays.tendHomes(now) : [];
  }

  assumeReachable(): void {
    this.#place.assumeReachable();
  }

  /** What others should know of how to reach this node, beside its own addresses. */
  place(now: Millis): OuterPlace {
    return { reflexive: this.#place.reflexive(now), isReachable: this.#place.isReachable, homes: this.homes.named };
  }

  surroundings(now: Millis): Surroundings {
    const homes = this.#rendezvous.homes.map((node) => ({ node, every: this.#rendezvous.keepaliveOf(node) }));
    return { mapping: this.#place.mapping(now), sightings: this.#place.sightings(now), isReachable: this.#place.isReachable, homes };
  }

  /** Whether {@link place} may say something else than when this was asked last. */
  takeMoved(): boolean {
    return this.#place.takeMoved();
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
    this.tcpWays.published(peer.node, { endpoints: place.tcpRelays ?? [], isRelay: place.isRelay });
    return [...this.step(slot, { type: "published", ...place }, now), ...this.relays.offer(slot, now), ...this.relays.tendHomes(now)];
  }

  /** The peer said goodbye; there it took TLS WebSocket, and may again. */
  stopped(slot: PeerSlot, now: Millis, tcpRelays: readonly Endpoint[]): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer !== undefined) {
      peer.isRelay = false;
      if (tcpRelays.length > 0) this.tcpWays.published(peer.node, { endpoints: tcpRelays, isRelay: true });
      this.tcpWays.stopped(peer.node);
      this.#recalls.delete(slot);
    }
    return [...this.step(slot, { type: "stopped" }, now), ...this.relays.tendHomes(now)];
  }

  /** Our own addresses or default routes changed. Homes are asked first, then paths in use, at last those that failed, one after the other. */
  networkChanged(now: Millis): readonly NodeEffect[] {
    this.tcpWays.networkChanged(now);
    this.#place.networkChanged();
    if (this.#probeBudget.beginAnew(now)) this.#punches.networkChanged(now);
    const effects: NodeEffect[] = [];
    let retryAt = now;
    for (const [slot, { path }] of this.#homesFirst()) {
      if (path.state.name === "failed") retryAt += RETRY_SPACING;
      effects.push(...this.step(slot, { type: "network-changed", retryAt }, now));
    }
    return effects;
  }

  /** A router took back what it had mapped: it may have started anew, and let nobody in. Who is in touch is asked; the network is the same. */
  mappingLost(now: Millis): readonly NodeEffect[] {
    this.#place.networkChanged();
    const used = this.#homesFirst().filter(([, { path }]) => inUse(path.state));
    return used.flatMap(([slot]) => this.step(slot, { type: "doubted" }, now));
  }

  #homesFirst(): readonly (readonly [PeerSlot, Peer])[] {
    return [...this.#peers].sort(([, a], [, b]) => this.#rendezvous.rank(a.node) - this.#rendezvous.rank(b.node));
  }

  timer(now: Millis): readonly NodeEffect[] {
    const effects: NodeEffect[] = [...this.#punches.timer(now)];
    for (const [slot, dueAt] of [...this.#wakes]) if (dueAt <= now) effects.push(...this.step(slot, { type: "timer" }, now));
    for (const due of this.#recalls.takeDue(now)) effects.push(...this.#say(due.slot, due.way, due.body, now));
    return [...effects, ...this.#tcpSteps(this.tcpWays.due(now), now)];
  }

  wakeAt(): Millis | undefined {
    return earliest(this.tcpWays.wakeAt(), this.#punches.wakeAt(), this.#recalls.wakeAt(), ...this.#wakes.values());
  }

  // TCP

  /** A connection to the member is there, or gone. */
  tcpWay(node: NodeId, way: TcpWay | undefined, now: Millis): readonly NodeEffect[] {
    if (way !== undefined) {
      this.tcpWays.opened(node, way, now);
      return this.tcpWays.isWay(way.endpoint) ? this.stepOf(node, { type: "heard", from: direct(way.endpoint) }, now) : [];
    }
    this.tcpWays.closed(node, now);
    return this.isByTcp(node) ? this.stepOf(node, { type: "doubted" }, now) : [];
  }

  /** Packets to the member go straight, and by TCP. */
  isByTcp(node: NodeId): boolean {
    const path = this.#peerOf(node)?.path;
    const candidate = path === undefined ? undefined : pathOf(path)?.candidate;
    return candidate?.type === "direct" && isTcpEndpoint(candidate.endpoint);
  }

  #rttOf(node: NodeId): Millis | undefined {
    const path = this.#peerOf(node)?.path;
    return path === undefined ? undefined : pathOf(path)?.rtt;
  }

  #tcpSteps(steps: readonly TcpWaysStep[], now: Millis): readonly NodeEffect[] {
    return steps.flatMap((step) => this.#tcpStep(step, now));
  }

  #tcpStep(step: TcpWaysStep, now: Millis): readonly NodeEffect[] {
    switch (step.type) {
      case "open":
        return [{ type: "open-tcp-way", node: step.node, endpoints: step.endpoints }];
      case "close":
        return [{ type: "close-tcp-way", node: step.node }];
      case "ask":
        return step.nodes.flatMap((node) => this.#askByUdp(node, now));
    }
  }

  /** Whatever its path is: an answer moves that as any other does. */
  #askByUdp(node: NodeId, now: Millis): readonly NodeEffect[] {
    const slot = this.#slots.slotOf(node);
    const peer = slot === undefined ? undefined : this.#peers.get(slot);
    if (slot === undefined || peer === undefined) return [];
    const endpoints = peer.path.endpoints.filter((endpoint) => !isTcpEndpoint(endpoint));
    return endpoints.flatMap((endpoint) => this.ping(slot, direct(endpoint), { purpose: "discover", now }));
  }

  // Paths

  stepOf(node: NodeId, event: PathEvent, now: Millis): readonly NodeEffect[] {
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
    this.#punches.pathChanged(slot, now);
    const after = step.peer.state.name;
    if (after !== before || step.effects.some(({ type }) => type === "use")) effects.push(...this.relays.tend(slot, peer, now));
    if (isFirstDoubt(step)) effects.push(...this.#doubtUdp(peer.node, now));
    if (step.effects.some(({ type }) => type === "use") && this.#leads(step.peer) && step.peer.state.name === "direct")
      effects.push(...this.ping(slot, step.peer.state.path.candidate, { purpose: "heartbeat", now }));
    if (after === before) return effects;
    this.#counters.count(`path.${after}`);
    if (after === "failed") effects.push(...this.#tcpSteps(this.tcpWays.lost(peer.node, now), now));
    if (isInNeed(step.peer)) effects.push(...this.relays.offer(slot, now));
    // Perhaps it is we who cannot be heard any more, and a relay must learn where we are before it passes anything on.
    if (after === "suspect") effects.push(...step.peer.relays.flatMap((relay) => this.stepOf(relay, { type: "doubted" }, now)));
    if (after === "probing") effects.push(...this.relays.wantHomesOf(peer, now));
    if (after === "direct" || before === "direct") effects.push(...this.relays.pathChanged(peer.node, now));
    return effects;
  }

  /** A peer is silent that may be alive, and UDP blocked: where TCP is on offer, a home is asked beside it, to know sooner. */
  #doubtUdp(silent: NodeId, now: Millis): readonly NodeEffect[] {
    const [home] = this.#rendezvous.homes;
    if (!this.tcpWays.isOffered || home === undefined || home === silent || now < this.#udpDoubtedAt + UDP_DOUBT_INTERVAL) return [];
    this.#udpDoubtedAt = now;
    return this.stepOf(home, { type: "doubted" }, now);
  }

  /**
   * Of two straight paths each end may like another one, and a relay passes on only what comes by its own. So who may be reached
   * unasked goes the way that the other end goes, and is told at once.
   */
  isLedBy({ path }: Peer): boolean {
    return this.#place.isReachable && !path.isReachable;
  }

  #leads({ isReachable, endpoints }: PeerPath): boolean {
    const hasChoice = endpoints.filter((endpoint) => !isTcpEndpoint(endpoint)).length > 1;
    return hasChoice && isReachable && !this.#place.isReachable;
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
          ...(hasMoved ? this.#followRelay(peer.node, now) : []),
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
  #followRelay(relay: NodeId, now: Millis): readonly NodeEffect[] {
    return [...this.#peers].flatMap(([slot, peer]) => [
      ...(peer.used.some((candidate) => sameCandidate(candidate, relayed(relay))) ? this.#setWays(slot, peer) : []),
      ...(peer.path.relays.includes(relay) ? this.relays.offer(slot, now) : []),
    ]);
  }

  // What goes out

  /** Straight to the engine, noting that we spoke to whoever is there. */
  send(way: Way, bytes: Uint8Array, now: Millis, ttl?: number): readonly NodeEffect[] {
    this.#place.sentTo(way.endpoint.ip, now);
    return [{ type: "send-datagram", way, bytes, ...(ttl !== undefined && { ttl }) }];
  }

  /** A handshake message, by each of them that leads anywhere. */
  sendAll(slot: PeerSlot, candidates: readonly Candidate[], bytes: Uint8Array, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer !== undefined) {
      peer.handshake = { bytes, by: candidates, sentAt: now, repeatedBy: new Set() };
      this.lastHandshakeAt = now;
    }
    return this.#sendBy(slot, candidates, bytes, { now });
  }

  #sendBy(
    slot: PeerSlot,
    candidates: readonly Candidate[],
    bytes: Uint8Array,
    { now, ttl }: { readonly now: Millis; readonly ttl?: number | undefined },
  ): readonly NodeEffect[] {
    return candidates.flatMap((candidate) => {
      const way = this.ways.wayOf(slot, candidate);
      return way === undefined ? [] : this.send(way, bytes, now, ttl);
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
    if (purpose !== "heartbeat" && !this.#affords(slot, now)) return [];
    if (isClaimed) this.#probeBudget.sent(to.endpoint, reason, now);
    const bytes = this.#probes.ping(slot, to, options);
    if (bytes === undefined) return [];
    const peer = this.#peers.get(slot);
    peer?.candidates.asked(to, now);
    if (peer !== undefined && to.type === "direct" && !isTcpEndpoint(to.endpoint)) this.tcpWays.asked(peer.node, now);
    const asked = purpose === "heartbeat" && peer !== undefined ? this.homes.asked(slot, peer.node, way, now) : [];
    return [...this.send(way, bytes, now, ttl), ...asked];
  }

  #say(slot: PeerSlot, way: Way, body: Extract<ProbeBody, { type: "recall" | "recalled" }>, now: Millis): readonly NodeEffect[] {
    const bytes = this.#probes.frame(slot, body);
    return bytes === undefined ? [] : this.send(way, bytes, now);
  }

  /** Says where we may be found. */
  offer(slot: PeerSlot, { by, isAnswer }: Omit<Extract<PathEffect, { type: "offer" }>, "type">, now: Millis): readonly NodeEffect[] {
    const way = this.ways.wayOf(slot, by);
    if (way === undefined || !this.#affords(slot, now)) return [];
    const reflexive = this.#place.reflexive(now);
    const own = this.#place.own().slice(0, MAX_OFFERED - reflexive.length);
    const bytes = this.#probes.frame(slot, { type: "offer", own, reflexive, isAnswer, mapping: this.#place.mapping(now) });
    return bytes === undefined ? [] : this.send(way, bytes, now);
  }

  #affordsAt(to: Endpoint, reason: ProbeReason, now: Millis): boolean {
    const isAfforded = this.#probeBudget.affords(to, reason, now) && this.#probeBudget.takeOfHost(now);
    if (isAfforded) this.#probeBudget.sent(to, reason, now);
    else this.#counters.count("probe.heldBack");
    return isAfforded;
  }

  /** Those for paths in use are few by themselves, and a live peer must not be taken for dead because others are looked for. */
  #affords(slot: PeerSlot, now: Millis): boolean {
    const isAfforded = this.#peers.get(slot)?.probeBudget.take(now) === true && this.#probeBudget.takeOfHost(now);
    if (!isAfforded) this.#counters.count("probe.overBudget");
    return isAfforded;
  }
}
