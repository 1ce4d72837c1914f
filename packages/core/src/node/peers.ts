import { isMeshAddress } from "../address/address-plan.ts";
import type { Endpoint } from "../address/endpoint.ts";
import { isPrivate, isUnicast } from "../address/ip.ts";
import type { SocketId } from "../address/way.ts";
import { type NodeId, nodeKey } from "../ids/node-id.ts";
import { type Candidate, direct, isDirectByUdp, isTcpEndpoint, isUsableCandidate, relayed } from "../path/candidate.ts";
import { type BootId, ProbeExchange, type ProbeOutcome } from "../path/probe-exchange.ts";
import { MAX_PEERS, type NodeException, type PeerSlot, type RelayMember } from "../ports/datapath.ts";
import type { SessionEffect, SessionEvent } from "../session/session-event.ts";
import { SessionTable } from "../session/session-table.ts";
import type { Millis } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import { datagramKind } from "../wire/datagram-kind.ts";
import type { Counters } from "./counters.ts";
import { LostHandshakes, repeatAfterProof } from "./handshake-repeat.ts";
import type { NodeEffect } from "./node-effect.ts";
import type { PeerStamps } from "./node-event.ts";
import { type KnownPeer, type OuterPlace, type Peer, type PublishedPlace, type Surroundings, unansweredAt } from "./peer.ts";
import { PeerPaths } from "./peer-paths.ts";
import { isUnheardInTunnel, pathOf } from "./peer-state.ts";
import type { PeersOptions } from "./peers-options.ts";
import { SlotTable } from "./slot-table.ts";
import type { TcpWay } from "./tcp-ways.ts";

/**
 * All peers of a node as the data plane sees them: WireGuard sessions, probes, paths and relays. What the engine cannot decide comes
 * in here; ways, sessions and datagrams go out.
 */
export class Peers {
  readonly #options: PeersOptions;
  readonly #counters: Counters;
  readonly #sessions: SessionTable;
  readonly #probes: ProbeExchange;
  readonly #slots = new SlotTable(MAX_PEERS);
  readonly #paths: PeerPaths;
  readonly #lost = new LostHandshakes();

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#counters = options.counters;
    this.#sessions = new SessionTable(options);
    this.#probes = new ProbeExchange(options);
    const isUsable = (endpoint: Endpoint): boolean => isUsableCandidate(options.plan, endpoint);
    this.#paths = new PeerPaths({ ...options, probes: this.#probes, slots: this.#slots, isUsable });
  }

  /**
   * The nodes that are peers from now on, with their numbers; all others lose sessions, probes and slot. Slots are taken before any
   * is given back, so a slot changes hands only over a table without it: what waits in the engine for one peer never goes to another.
   * A number is undefined where another node holds it.
   */
  setPeers(nodes: ReadonlyMap<NodeId, number | undefined>, ownNumber: number | undefined, now: Millis): readonly NodeEffect[] {
    this.#paths.ways.ownNumber = ownNumber;
    const gone = [...this.#paths.peers()].filter(([, { node }]) => !nodes.has(node));
    const effects: NodeEffect[] = [];
    for (const [node, number] of nodes) {
      if (this.slotOf(node) === undefined) effects.push(...this.#add(node, now));
      const slot = this.slotOf(node);
      if (slot !== undefined) this.#paths.ways.set(slot, { node, number, pass: this.#probes.passes(slot)?.ours ?? 0 });
    }
    for (const [slot, { node }] of gone) effects.push(...this.#remove(slot, node, now));
    return effects;
  }

  slotOf(node: NodeId): PeerSlot | undefined {
    return this.#slots.slotOf(node);
  }

  peer(node: NodeId): KnownPeer | undefined {
    const slot = this.slotOf(node);
    const peer = slot === undefined ? undefined : this.#paths.get(slot);
    if (slot === undefined || peer === undefined) return undefined;
    const session = this.#sessions.view(slot);
    const sessionAt = session?.established === true ? session.establishedAt : undefined;
    return { slot, path: peer.path, candidates: peer.candidates, sessionAt, unansweredAt: peer.unansweredAt };
  }

  /** Packets to it arrived when they were last sent. */
  isReached(node: NodeId): boolean {
    const peer = this.peer(node);
    return peer !== undefined && pathOf(peer.path) !== undefined;
  }

  /** Reflexive addresses: where peers saw us, without repetition. */
  observed(): readonly string[] {
    return this.#paths.observed();
  }

  /** It was reachable before this start, at the same addresses. */
  assumeReachable(): void {
    this.#paths.assumeReachable();
  }

  /** What others should know of how to reach this node, beside its own addresses. */
  place(now: Millis): OuterPlace {
    return this.#paths.place(now);
  }

  /** What is known of the network around this node, for people. */
  surroundings(now: Millis): Surroundings {
    return this.#paths.surroundings(now);
  }

  /** Whether {@link place} may say something else than when this was asked last. */
  takeMoved(): boolean {
    return this.#paths.takeMoved();
  }

  /** A connection to a member by TCP is there, or gone. */
  tcpWay(node: NodeId, way: TcpWay | undefined, now: Millis): readonly NodeEffect[] {
    return this.#paths.tcpWay(node, way, now);
  }

  /** Of an open connection by TCP to the member: where its control link is dialled. */
  tcpStreamOf(node: NodeId): Endpoint | undefined {
    return this.#paths.tcpWays.wayTo(node)?.stream;
  }

  isByTcp(node: NodeId): boolean {
    return this.#paths.isByTcp(node);
  }

  /** No control link is left. */
  cutOff(now: Millis): void {
    this.#paths.tcpWays.cutOff(now);
  }

  get isUdpBlocked(): boolean {
    return this.#paths.tcpWays.isBlocked;
  }

  /** Whom this node can relay for. */
  relayMembers(): readonly RelayMember[] {
    return this.#paths.relayMembers();
  }

  wallClock(offset: Millis, now: Millis): readonly NodeEffect[] {
    return this.#session({ type: "wall-clock", offset }, now);
  }

  stampsReserved(until: Millis, now: Millis): readonly NodeEffect[] {
    return this.#session({ type: "stamps-reserved", until }, now);
  }

  /** What the peer says of where it is. */
  published(node: NodeId, place: PublishedPlace, now: Millis): readonly NodeEffect[] {
    const slot = this.slotOf(node);
    return slot === undefined ? [] : this.#paths.published(slot, place, now);
  }

  /** Someone wants to reach the peer: looks for a path if there is none. */
  want(node: NodeId, now: Millis): readonly NodeEffect[] {
    return this.#paths.stepOf(node, { type: "wanted" }, now);
  }

  /** A control link to the peer came up, and leads there. */
  linked(node: NodeId, remote: Endpoint, now: Millis): readonly NodeEffect[] {
    this.#paths.linkedAt(remote, now);
    return this.want(node, now);
  }

  /** The peer may be gone: asks it. */
  doubt(node: NodeId, now: Millis): readonly NodeEffect[] {
    return this.#paths.stepOf(node, { type: "doubted" }, now);
  }

  /** Our own addresses or default routes changed. */
  networkChanged(now: Millis): readonly NodeEffect[] {
    return this.#paths.networkChanged(now);
  }

  mappingLost(now: Millis): readonly NodeEffect[] {
    return this.#paths.mappingLost(now);
  }

  /** The peer said goodbye. */
  stopped(node: NodeId, now: Millis, tcpRelays: readonly Endpoint[] = []): readonly NodeEffect[] {
    const slot = this.slotOf(node);
    return slot === undefined ? [] : this.#paths.stopped(slot, now, tcpRelays);
  }

  /** A PING at once over the path in use, beside what the path does by itself. */
  ping(node: NodeId, now: Millis): readonly NodeEffect[] {
    const peer = this.peer(node);
    if (peer === undefined) return [];
    const { state } = peer.path;
    const effects = [...this.want(node, now)];
    if (peer.sessionAt === undefined) effects.push(...this.#session({ type: "session-wanted", slot: peer.slot }, now));
    if (state.name === "direct" || state.name === "relayed" || state.name === "suspect")
      effects.push(...this.#paths.ping(peer.slot, state.path.candidate, { purpose: "heartbeat", now }));
    return effects;
  }

  /** One PING straight to it: where packets go, or else where it is looked for first. Nothing where no such place is known. */
  ask(node: NodeId, now: Millis): readonly NodeEffect[] {
    const peer = this.peer(node);
    if (peer === undefined) return [];
    const used = pathOf(peer.path)?.candidate;
    const [first] = peer.path.endpoints;
    const to = used?.type === "direct" ? used : first === undefined ? undefined : direct(first);
    return to === undefined ? [] : this.#paths.ping(peer.slot, to, { purpose: "heartbeat", now });
  }

  exception(event: Exclude<NodeException, { type: "engine-failed" }>, now: Millis): readonly NodeEffect[] {
    switch (event.type) {
      case "session-wanted": {
        const found = this.#paths.step(event.slot, { type: "wanted" }, now);
        // Packets wait for the handshake: it goes before the PINGs, which take the peer milliseconds to answer.
        const isWays = ({ type }: NodeEffect): boolean => type === "set-ways";
        return [...found.filter(isWays), ...this.#session(event, now), ...found.filter((effect) => !isWays(effect))];
      }
      case "session-confirmed":
        return this.#session(event, now);
      case "datagram":
        return this.#datagram(event, now);
    }
  }

  traffic(peers: readonly PeerStamps[], now: Millis): readonly NodeEffect[] {
    return peers.flatMap(({ slot, stamps }) => {
      const peer = this.#paths.get(slot);
      if (peer !== undefined) {
        peer.unansweredAt = unansweredAt(peer.unansweredAt, stamps);
        peer.heardInTunnelAt = stamps.authenticatedReceivedAt;
      }
      const dropped = isUnheardInTunnel(peer, now) ? this.#paths.relays.unheard(slot, now) : [];
      return [
        ...dropped,
        ...this.#paths.step(slot, { type: "traffic", ...stamps }, now),
        ...this.#session({ type: "traffic", slot, stamps }, now),
      ];
    });
  }

  /** Further sockets that were asked for. */
  socketsOpened(sockets: readonly SocketId[], now: Millis): readonly NodeEffect[] {
    return this.#paths.punches.socketsOpened(sockets, now);
  }

  timer(now: Millis): readonly NodeEffect[] {
    return [...this.#paths.timer(now), ...this.#repeatLost(now), ...this.#session({ type: "timer" }, now)];
  }

  wakeAt(): Millis | undefined {
    return earliest(this.#sessions.wakeAt(), this.#paths.wakeAt(), this.#lost.wakeAt());
  }

  // What comes in

  #datagram(event: Extract<NodeException, { type: "datagram" }>, now: Millis): readonly NodeEffect[] {
    const { from, bytes } = event;
    // Answering into the mesh would send our packets through our own tunnel, in themselves, without end.
    const isUsable = isTcpEndpoint(from.endpoint) ? this.#isBridged(from.endpoint) : isUnicast(from.endpoint.ip);
    if (!isUsable || isMeshAddress(this.#options.plan, from.endpoint.ip)) {
      this.#counters.count("udp.sourceNotUsable");
      return [];
    }
    if (from.socket !== undefined && from.socket !== 0 && !this.#paths.punches.isOpen(from.socket)) {
      this.#counters.count("udp.closedSocket");
      return [];
    }
    const candidate = this.#paths.ways.candidateOf(from);
    if (candidate === undefined) {
      this.#counters.count("udp.unknownRelay");
      return [];
    }
    const kind = datagramKind(bytes);
    if (kind === "handshake") return this.#session({ type: "message", from, bytes }, now);
    if (kind === "probe") return this.#probe(event, candidate, now);
    this.#counters.count("udp.unknownKind");
    return [];
  }

  #probe({ from, bytes, receivedAt }: Arrival, candidate: Candidate, now: Millis): readonly NodeEffect[] {
    const outcome = this.#probes.receive({ candidate, endpoint: from.endpoint }, bytes, { receivedAt, now });
    if (outcome.type === "dropped") {
      this.#counters.count(`probe.${outcome.cause}`);
      return [];
    }
    const peer = this.#paths.get(outcome.slot);
    const isOfOwnRelay = candidate.type === "relay" && candidate.relay === peer?.node;
    if (peer === undefined || isOfOwnRelay || !this.#paths.ways.isFrom(outcome.slot, from)) {
      this.#counters.count("udp.relayedForAnother");
      return [];
    }
    switch (outcome.type) {
      case "ping":
        return this.#pinged(peer, outcome, { from, candidate }, now);
      case "pong":
        return this.#ponged(peer, outcome, candidate, now);
      case "punch":
      case "locate":
      case "located":
      case "recall":
        if (!peer.punchBudget.take(now)) {
          this.#counters.count("probe.overBudget");
          return [];
        }
        if (outcome.type === "punch") return this.#paths.punches.said(outcome.slot, outcome.step, outcome.ports, now);
        if (outcome.type === "locate") return this.#paths.punches.locate(outcome.slot, candidate, outcome.number, now);
        if (outcome.type === "recall") return this.#paths.recall(outcome.slot, from, outcome, now);
        return this.#paths.punches.located(peer.node, outcome, now);
      case "recalled":
        return isDirectByUdp(candidate) ? this.#paths.homes.recalled(peer.node, outcome.token, now) : [];
      case "offer": {
        if (this.#isFromBeforeGoodbye(peer, outcome.boot)) return [];
        if (!outcome.isAnswer && !peer.offerBudget.take(now)) {
          this.#counters.count("probe.overBudget");
          return [];
        }
        if (!outcome.isCurrent) return this.#oldOffer(outcome, candidate, now);
        peer.mapping = outcome.mapping;
        const usable = (endpoints: readonly Endpoint[]): readonly Endpoint[] =>
          endpoints.filter((endpoint) => isUsableCandidate(this.#options.plan, endpoint));
        const offered = { own: usable(outcome.own), reflexive: usable(outcome.reflexive), isAnswer: outcome.isAnswer };
        return this.#paths.step(outcome.slot, { type: "offered", from: candidate, ...offered }, now);
      }
    }
  }

  #pinged(
    peer: Peer,
    { slot, boot, purpose, pong }: Outcome<"ping">,
    { from, candidate }: { readonly from: Arrival["from"]; readonly candidate: Candidate },
    now: Millis,
  ): readonly NodeEffect[] {
    const reached = isDirectByUdp(candidate) ? this.#paths.heardUnasked(from.endpoint, now) : [];
    const back = this.#paths.ways.back(from);
    const answer = back === undefined ? [] : this.#paths.send(back, pong, now);
    if (purpose === "sample") return [...reached, ...answer];
    const ofSearch = this.#paths.punches.pinged(slot, candidate, purpose, now);
    if (ofSearch !== undefined) return [...reached, ...answer, ...ofSearch];
    // Our own question goes out first: whoever gets the answer may send at once by us as a relay, and we must have heard it by then.
    const leads = purpose === "heartbeat" && this.#paths.isLedBy(peer);
    const heard = this.#isFromBeforeGoodbye(peer, boot)
      ? []
      : this.#paths.step(slot, { type: "heard", from: candidate, leads, isKeepalive: purpose === "heartbeat" }, now);
    const dropped = purpose === "unheard" ? this.#paths.relays.toldUnheard(slot, now) : [];
    const isAsked = heard.some(({ type }) => type === "send-datagram");
    const ask =
      peer.boot === undefined || peer.boot === boot || isAsked ? [] : this.#paths.ping(slot, candidate, { purpose: "triggered", now });
    if (purpose === "triggered" && candidate.type === "direct") this.#lost.asked(peer.node, this.#paths, now);
    return [...reached, ...heard, ...dropped, ...answer, ...ask, ...this.#repeatLost(now)];
  }

  #ponged(peer: Peer, { slot, boot, rtt, observed }: Outcome<"pong">, candidate: Candidate, now: Millis): readonly NodeEffect[] {
    if (candidate.type === "direct") this.#paths.answeredFrom(candidate.endpoint, now);
    if (this.#isFromBeforeGoodbye(peer, boot)) return [];
    const ofSearch = this.#paths.punches.ponged(slot, { from: candidate, rtt, seen: observed }, now);
    if (ofSearch !== undefined) return ofSearch;
    const { node } = peer;
    const isRestarted = peer.boot !== undefined && peer.boot !== boot;
    peer.boot = boot;
    if (isDirectByUdp(candidate) && !isPrivate(candidate.endpoint.ip)) this.#paths.tcpWays.answered(node, now);
    return [
      ...(isDirectByUdp(candidate) && candidate.socket === undefined && isUsableCandidate(this.#options.plan, observed)
        ? this.#paths.noteObserved(node, { from: candidate.endpoint, at: observed }, now)
        : []),
      ...this.#paths.step(slot, { type: "answered", candidate, rtt }, now),
      ...this.#repeatHandshake(slot, repeatAfterProof(peer, now), now),
      ...(isRestarted ? this.#replaceLost(slot, now) : []),
      ...this.#options.onPong({ node, candidate, rtt }),
    ];
  }

  /**
   * Said to an earlier run of ours, or by a peer that has not heard us yet: it may be a copy, and says nothing of where the peer is.
   * An offer of our own tells the peer who we are now, and it answers with one for us.
   */
  #oldOffer({ slot, isAnswer }: Outcome<"offer">, from: Candidate, now: Millis): readonly NodeEffect[] {
    this.#counters.count("probe.oldOffer");
    if (isAnswer) return [];
    return [...this.#paths.step(slot, { type: "heard", from }, now), ...this.#paths.offer(slot, { by: from, isAnswer }, now)];
  }

  /** Does the agent bridge it to a connection? Any other process of this host can send from loopback, too, but nothing authentic. */
  #isBridged(endpoint: Endpoint): boolean {
    return this.#options.takesTcp?.() === true || this.#paths.tcpWays.isWay(endpoint);
  }

  /** On the way when the peer said goodbye: it is gone all the same. */
  #isFromBeforeGoodbye(peer: Peer, boot: BootId): boolean {
    return peer.path.state.name === "stopped" && peer.boot === boot;
  }

  /** A peer that started again cannot open what we seal: a new session at once; WireGuard alone would wait 15 s. */
  #replaceLost(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    return this.#sessions.view(slot)?.established === true ? this.#session({ type: "session-lost", slot }, now) : [];
  }

  #repeatLost(now: Millis): readonly NodeEffect[] {
    return this.#lost.takeDue(now).flatMap(({ slot, relay, bytes }) => {
      const way = this.#paths.get(slot)?.handshake.bytes === bytes ? this.#paths.ways.wayOf(slot, relayed(relay)) : undefined;
      return way === undefined ? [] : this.#paths.send(way, bytes, now);
    });
  }

  /** What was lost, or may have been, is sent again in time. */
  #repeatHandshake(slot: PeerSlot, repeatAt: Millis | undefined, now: Millis): readonly NodeEffect[] {
    return repeatAt === undefined ? [] : this.#session({ type: "path-proven", slot, repeatAt }, now);
  }

  #add(node: NodeId, now: Millis): readonly NodeEffect[] {
    const tunnelKey = this.#options.crypto.agreementPublicKeyOf(nodeKey(node));
    const slot = tunnelKey === undefined ? undefined : this.#slots.take(node);
    if (tunnelKey === undefined || slot === undefined) {
      this.#counters.count("peer.notUsable"); // a key that is no point on the curve, or more peers than slots
      return [];
    }
    this.#paths.add(slot, node);
    this.#probes.addPeer(slot, tunnelKey);
    return this.#session({ type: "peer-added", slot, tunnelKey }, now);
  }

  #remove(slot: PeerSlot, node: NodeId, now: Millis): readonly NodeEffect[] {
    this.#slots.release(node);
    this.#probes.removePeer(slot);
    this.#lost.delete(slot);
    return [...this.#paths.remove(slot, now), ...this.#session({ type: "peer-removed", slot }, now)];
  }

  // Sessions

  #session(event: SessionEvent, now: Millis): readonly NodeEffect[] {
    return this.#sessions.handle(event, now).flatMap((effect) => this.#perform(effect, now));
  }

  #perform(effect: SessionEffect, now: Millis): readonly NodeEffect[] {
    switch (effect.type) {
      case "install-session":
        this.#paths.get(effect.session.slot)?.dropping.handshakeDone();
        this.#lost.delete(effect.session.slot);
        return [effect];
      case "drop-session":
      case "send-keepalive":
        return [effect];
      case "reply": {
        const back = this.#paths.ways.back(effect.to);
        return back === undefined ? [] : this.#paths.send(back, effect.bytes, now);
      }
      case "send-handshake":
        return this.#sendHandshake(effect.slot, effect.bytes, now);
      case "heard": {
        // A peer that starts again is asked by PING before it shakes hands.
        if (this.#paths.get(effect.slot)?.path.state.name === "stopped") return [];
        const from = this.#paths.ways.candidateOf(effect.from);
        return from === undefined ? [] : this.#paths.step(effect.slot, { type: "heard", from }, now);
      }
      case "reserve-stamps":
        return this.#options.onReserve(effect.until);
      case "handshake-failed":
        this.#counters.count("session.handshakeFailed");
        return [];
      case "dropped":
        this.#counters.count(`session.${effect.cause}`);
        return [];
    }
  }

  /** By the way in use, or by what may work until one is proven; else it waits. */
  #sendHandshake(slot: PeerSlot, bytes: Uint8Array, now: Millis): readonly NodeEffect[] {
    const peer = this.#paths.get(slot);
    if (peer === undefined) return [];
    const { state } = peer.path;
    switch (state.name) {
      case "relayed": {
        const { candidate } = state.path;
        const isDropped = candidate.type === "relay" && peer.dropping.handshakeSent(candidate.relay);
        return [...(isDropped ? this.#paths.relays.drops(slot, now) : []), ...this.#paths.sendAll(slot, peer.used, bytes, now)];
      }
      case "direct":
      case "suspect":
        return this.#paths.sendAll(slot, peer.used, bytes, now);
      case "probing":
        if (state.tentative.length > 0) return this.#paths.sendAll(slot, state.tentative, bytes, now);
        break;
      default:
        break;
    }
    peer.heldHandshake = bytes;
    return this.#paths.step(slot, { type: "wanted" }, now);
  }
}

type Arrival = Extract<NodeException, { type: "datagram" }>;
type Outcome<Type extends ProbeOutcome["type"]> = Extract<ProbeOutcome, { type: Type }>;
