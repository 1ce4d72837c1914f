import type { Endpoint } from "../address/endpoint.ts";
import { type Ip, ipFamily, isPrivate } from "../address/ip.ts";
import type { SocketId } from "../address/way.ts";
import type { Random } from "../crypto/crypto.ts";
import { randomBelow } from "../crypto/random.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Candidate, direct, relayed, sameCandidate } from "../path/candidate.ts";
import { ACTIVE_FOR, type PathState } from "../path/path-state.ts";
import type { FreeProbe, ProbeExchange } from "../path/probe-exchange.ts";
import type { PeerSlot } from "../ports/datapath.ts";
import { FreshPunch } from "../punch/fresh-punch.ts";
import { FurtherSockets, LINGER } from "../punch/further-sockets.ts";
import { HardPunch } from "../punch/hard-punch.ts";
import { endpointOf } from "../punch/port-plan.ts";
import type { Punch, PunchEffect } from "../punch/punch.ts";
import { MAX_ASKED, Witnesses } from "../punch/witnesses.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { Mapping, PortPlan, ProbePurpose, PunchStep } from "../wire/probe.ts";
import type { NodeEffect } from "./node-effect.ts";
import type { Peer } from "./peer.ts";
import type { ProbeReason } from "./probe-budget.ts";

/** Relayed for so long where an end's ports vary: PINGs that cross would have met by now. */
const HARD_AFTER: Millis = 150;
/** The other end, where both vary and the first should have asked. */
const HARD_BESIDES: Millis = seconds(1.5);
/** Relayed for so long where PINGs that cross should have met. */
const FRESH_AFTER: Millis = seconds(2);
/** Two ports and a dozen packets: cheap, and what a NAT remembered is forgotten by then. */
const FRESH_AGAIN: Millis = minutes(1);
/** The peer is busy: twice as long each time, to the above. */
const FRESH_BUSY: Millis = 500;
/** Answered in this time once: the other end begins once a minute, and so may this one. */
const FRESH_ANSWERED_AGAIN: Millis = seconds(25);
/** A hard search that was in vain is not repeated for so long at least, and for so long at most by this end. */
const HARD_AGAIN: { readonly min: Millis; readonly max: Millis } = { min: minutes(10), max: minutes(15) };
/** One that did not come to anything, because a part or a witness was missing: twice as long each time, to the least of the above. */
const UNBEGUN_AGAIN: Millis = seconds(5);
/** This end or the other is busy with somebody else. */
const BUSY_FOR: { readonly min: Millis; readonly max: Millis } = { min: 200, max: 900 };
/** The end whose ports stay tells the other so often that a search is wanted. */
const WANT_EVERY: Millis = seconds(5);
/** Witnesses that are silent are asked again, while the search still waits. */
const ASK_AGAIN: readonly Millis[] = [200, 600, 1_200];
/** Fresh sockets at the same time. */
const MAX_FRESH = 16;
/** A peer that slept longer may be elsewhere: a standby home hears from it every 110 s. */
const VOUCHED_FOR: Millis = minutes(3);

/** What searches need of the paths around them. */
export interface PunchesSurroundings {
  readonly random: Random;
  readonly probes: ProbeExchange;
  count(what: string): void;
  readonly peers: ReadonlyMap<PeerSlot, Peer>;
  slotOf(node: NodeId): PeerSlot | undefined;
  numberOf(slot: PeerSlot): number | undefined;
  ownNumber(): number | undefined;
  isUsable(endpoint: Endpoint): boolean;
  /** Whether a PING to a claimed place is within the budget of that place; then it counts as sent. */
  affords(endpoint: Endpoint, reason: ProbeReason, now: Millis): boolean;
  ownMapping(now: Millis): Mapping;
  /** Where this node is found from outside, best first. */
  ownPlaces(now: Millis): readonly Endpoint[];
  /** Our home relays. */
  homes(): readonly NodeId[];
  /** Sends what was sealed for the peer; nothing where the candidate leads nowhere. */
  send(slot: PeerSlot, to: Candidate, bytes: Uint8Array, options: { readonly now: Millis; readonly ttl?: number }): readonly NodeEffect[];
  /** A way was found. */
  answered(slot: PeerSlot, candidate: Candidate, rtt: Millis, now: Millis): readonly NodeEffect[];
}

/**
 * Straight paths by further sockets, for pairs that PINGs which cross do not join: by a fresh socket at each end where a NAT remembered
 * a PING too early (fresh-punch.ts), and by many where an end's NAT gives each flow another port (hard-punch.ts). They are looked for beside a relayed
 * path that carries packets, and change nothing of it before the peer has answered. Nobody scans an address because a peer names it.
 */
export class Punches {
  readonly #around: PunchesSurroundings;
  readonly #sockets = new FurtherSockets();
  readonly #witnesses = new Witnesses();
  readonly #punches = new Map<PeerSlot, Punch>();
  /** When silent witnesses of the search below are asked again. */
  #askAgainAt: readonly Millis[] = [];
  /** A home router's table of flows is small: one search of the costly kind at a time. */
  #hard: { readonly slot: PeerSlot; readonly punch: HardPunch } | undefined;
  /** Who waits for further sockets, in order. */
  readonly #opening: { readonly slot: PeerSlot; readonly punch: Punch }[] = [];
  /** When a relayed peer is looked at next. */
  readonly #dueAt = new Map<PeerSlot, Millis>();
  readonly #relayedAt = new Map<PeerSlot, Millis>();
  /** When the peer last said that it sends to us, and what it sees of us is in vain. */
  readonly #wantedAt = new Map<PeerSlot, Millis>();
  readonly #hardAgainAt = new Map<PeerSlot, Millis>();
  readonly #freshAgainAt = new Map<PeerSlot, Millis>();
  readonly #freshAnsweredAgainAt = new Map<PeerSlot, Millis>();
  /** Searches that did not come to anything, one after the other. */
  readonly #unbegun = new Map<PeerSlot, number>();
  /** Where we have just knocked: what comes from there late tells nothing. */
  readonly #knocked = new Map<PeerSlot, { readonly ip: Ip; readonly until: Millis }>();

  constructor(around: PunchesSurroundings) {
    this.#around = around;
  }

  /** After every step of a peer's path: whether it needs a search, and which sockets it needs. The peer may be gone. */
  pathChanged(slot: PeerSlot, now: Millis): void {
    const state = this.#around.peers.get(slot)?.path.state;
    if (state?.name === "relayed") this.#relayedAt.set(slot, this.#relayedAt.get(slot) ?? now);
    else for (const ended of [this.#dueAt, this.#relayedAt]) ended.delete(slot);
    if (state?.name === "relayed" && this.#isActive(slot, now) && !this.#dueAt.has(slot) && !this.#punches.has(slot))
      this.#dueAt.set(slot, (this.#relayedAt.get(slot) ?? now) + HARD_AFTER);
    const punch = this.#punches.get(slot);
    const isFound = state?.name === "direct" && punch?.owns(state.path.candidate) !== true;
    if (punch !== undefined && (state === undefined || isFound)) this.#end(slot, punch, now);
    if (state === undefined) this.#forget(slot);
    if (this.#sockets.has(slot)) this.#hold(slot, now, LINGER);
  }

  #forget(slot: PeerSlot): void {
    for (const paced of [this.#hardAgainAt, this.#freshAgainAt, this.#freshAnsweredAgainAt, this.#unbegun]) paced.delete(slot);
    for (const said of [this.#knocked, this.#wantedAt]) said.delete(slot);
  }

  /** Our own network changed: what failed before may not fail now. */
  networkChanged(now: Millis): void {
    for (const forgotten of [this.#hardAgainAt, this.#freshAgainAt]) forgotten.clear();
    for (const [slot, at] of this.#dueAt) this.#dueAt.set(slot, Math.min(at, now + FRESH_AFTER));
  }

  socketsOpened(sockets: readonly SocketId[], now: Millis): readonly NodeEffect[] {
    const asked = this.#opening.shift();
    if (asked === undefined || this.#punches.get(asked.slot) !== asked.punch) return [{ type: "close-sockets", sockets }];
    this.#sockets.add(asked.slot, sockets);
    return this.#do(asked.slot, asked.punch, asked.punch.opened(sockets, now), now);
  }

  // Probes

  /** What came in by a socket that was closed meanwhile leads nowhere. */
  isOpen(socket: SocketId): boolean {
    return this.#sockets.slotOf(socket) !== undefined;
  }

  /** A PING of the peer. undefined: it is none of a search, and the path's. */
  pinged(slot: PeerSlot, from: Candidate, purpose: ProbePurpose, now: Millis): readonly NodeEffect[] | undefined {
    if (from.type === "relay") return undefined;
    const { socket, endpoint } = from;
    const isUse = purpose === "heartbeat" || purpose === "nominate";
    const isPath = this.#uses(slot, from);
    if (socket !== undefined && isUse && this.#sockets.slotOf(socket) === slot) this.#sockets.lend(socket, now);
    const punch = this.#punches.get(slot);
    if (punch?.owns(from) === true && !isPath) return this.#do(slot, punch, punch.pinged(from, purpose, now), now);
    const knocked = this.#knocked.get(slot);
    const isLate = socket !== undefined ? !isUse : knocked?.ip === endpoint.ip && now < knocked.until && !this.#isKnown(slot, endpoint);
    return isLate && !isPath ? [] : undefined;
  }

  /** A PONG of the peer, or of a relay that was asked for a port. undefined: it is the path's. */
  ponged(
    slot: PeerSlot,
    pong: { readonly from: Candidate; readonly rtt: Millis; readonly seen: Endpoint },
    now: Millis,
  ): readonly NodeEffect[] | undefined {
    const { from, rtt, seen } = pong;
    if (from.type === "relay") return undefined;
    const owner = from.socket === undefined ? slot : this.#sockets.slotOf(from.socket);
    const punch = owner === undefined ? undefined : this.#punches.get(owner);
    if (owner !== undefined && owner !== slot)
      return from.socket === undefined || punch === undefined ? [] : this.#do(owner, punch, punch.sampled(from.socket, seen, now), now);
    if (punch?.owns(from) !== true || this.#uses(slot, from)) return undefined;
    return this.#do(slot, punch, punch.ponged(from, rtt, now), now);
  }

  /** A step of the peer's search. */
  said(slot: PeerSlot, step: PunchStep, ports: PortPlan | undefined, now: Millis): readonly NodeEffect[] {
    const peer = this.#around.peers.get(slot);
    if (peer === undefined) return [];
    const place = ports === undefined ? undefined : endpointOf(ports);
    if (place !== undefined && !this.#around.isUsable(place)) return [];
    const punch = this.#punches.get(slot);
    if (step === "ask") {
      // Both ask: the lower one's counts.
      const isCrossed = punch instanceof HardPunch && (!punch.isAsker || this.#isLower(slot));
      return isCrossed ? [] : this.#answerHard(slot, peer, punch, now);
    }
    if (step === "want") {
      this.#wantedAt.set(slot, now);
      const dueAt = this.#dueAt.get(slot) ?? now;
      return punch === undefined && dueAt < now + HARD_AFTER ? this.#consider(slot, now) : [];
    }
    if (step === "fresh") {
      const isCrossed = punch instanceof FreshPunch && (!punch.isAsker || this.#isLower(slot));
      return isCrossed ? [] : this.#answerFresh(slot, peer, ports, now);
    }
    return punch === undefined ? [] : this.#do(slot, punch, punch.said(step, ports, now), now);
  }

  /** A member asks where another one is: told by the way that the question came, if a round trip has proven it lately. */
  locate(asker: PeerSlot, by: Candidate, number: number, now: Millis): readonly NodeEffect[] {
    for (const [slot, { path }] of this.#around.peers) {
      const place = this.#around.numberOf(slot) === number ? placeOf(path.state, now) : undefined;
      if (place === undefined) continue;
      const bytes = this.#around.probes.frame(asker, { type: "located", number, ip: place.ip });
      return bytes === undefined ? [] : this.#around.send(asker, by, bytes, { now });
    }
    return [];
  }

  located(witness: NodeId, said: { readonly number: number; readonly ip: Ip }, now: Millis): readonly NodeEffect[] {
    this.#witnesses.located(witness, said, now);
    return this.#hard === undefined ? [] : this.#do(this.#hard.slot, this.#hard.punch, this.#hard.punch.timer(now), now);
  }

  // Time

  timer(now: Millis): readonly NodeEffect[] {
    const effects: NodeEffect[] = this.#askAgain(now);
    for (const [slot, punch] of [...this.#punches])
      if ((punch.wakeAt() ?? Number.POSITIVE_INFINITY) <= now) effects.push(...this.#do(slot, punch, punch.timer(now), now));
    for (const [slot, dueAt] of [...this.#dueAt]) if (dueAt <= now) effects.push(...this.#consider(slot, now));
    const closed = this.#sockets.takeClosed(now);
    return closed.length === 0 ? effects : [...effects, { type: "close-sockets", sockets: closed }];
  }

  wakeAt(): Millis | undefined {
    const askAgainAt = this.#hard === undefined ? undefined : this.#askAgainAt[0];
    const punches = [...this.#punches.values()].map((punch) => punch.wakeAt());
    return earliest(...punches, ...this.#dueAt.values(), this.#sockets.wakeAt(), askAgainAt);
  }

  // Searches

  /** A peer is relayed: is it worth a search, and of which kind? */
  #consider(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    this.#dueAt.delete(slot);
    const peer = this.#around.peers.get(slot);
    const state = peer?.path.state;
    if (peer === undefined || state?.name !== "relayed" || this.#punches.has(slot)) return [];
    const relayedAt = this.#relayedAt.get(slot) ?? now;
    // What the two ends are may be another thing by then.
    const later = (at: Millis): readonly NodeEffect[] => {
      this.#dueAt.set(slot, Math.min(at, now + FRESH_AGAIN));
      return [];
    };
    // Not worth a flow in two routers while nobody sends anything; whoever does, brings us here again.
    if (!this.#isActive(slot, now)) return [];
    const ownMapping = this.#around.ownMapping(now);
    const isOurs = ownMapping === "endpoint-dependent";
    const isTheirs = peer.mapping === "endpoint-dependent";
    // Nothing is translated at either end: another port is no other than this one.
    if (ownMapping === "none" && peer.mapping === "none") return later(now + FRESH_AGAIN);
    if (!isOurs && !isTheirs) {
      const freshAt = Math.max(relayedAt + FRESH_AFTER, this.#freshAgainAt.get(slot) ?? 0);
      if (now < freshAt) return later(freshAt);
      if (this.#freshCount() >= MAX_FRESH) return later(this.#soon(now));
      return this.#begin(slot, new FreshPunch({ theirs: undefined, now }), now);
    }
    // The end whose ports vary asks; of two such ends the lower one first.
    if (!isOurs) {
      this.#dueAt.set(slot, now + WANT_EVERY);
      return this.#perform(slot, { type: "say", step: "want" }, now);
    }
    const hardAt = Math.max(isTheirs && !this.#isLower(slot) ? relayedAt + HARD_BESIDES : 0, this.#hardAgainAt.get(slot) ?? 0);
    if (now < hardAt) return later(hardAt);
    if (this.#hard !== undefined) return later(this.#soon(now));
    return this.#beginHard(slot, { isAsker: true }, now);
  }

  #answerHard(slot: PeerSlot, peer: Peer, crossed: Punch | undefined, now: Millis): readonly NodeEffect[] {
    if (now < (this.#hardAgainAt.get(slot) ?? 0)) return this.#perform(slot, { type: "say", step: "no" }, now);
    const isBusy = this.#hard !== undefined && this.#hard.slot !== slot;
    if (isBusy || peer.path.state.name === "direct") return this.#perform(slot, { type: "say", step: "busy" }, now);
    if (crossed !== undefined) this.#end(slot, crossed, now);
    return this.#beginHard(slot, { isAsker: false }, now);
  }

  #beginHard(slot: PeerSlot, { isAsker }: { readonly isAsker: boolean }, now: Millis): readonly NodeEffect[] {
    const number = this.#around.numberOf(slot);
    if (number === undefined) return [];
    const { random } = this.#around;
    const place = this.#around.ownPlaces(now).find(({ ip }) => ipFamily(ip) === 4 && !isPrivate(ip));
    const isVarying = this.#around.ownMapping(now) === "endpoint-dependent";
    const isWitnessed = (ip: Ip, at: Millis): boolean => this.#witnesses.confirm(number, ip, at);
    const punch = new HardPunch({ isAsker, isVarying, place, random, isWitnessed, now });
    this.#hard = { slot, punch };
    return [...this.#askWitnesses(slot, number, now), ...this.#begin(slot, punch, now)];
  }

  #answerFresh(slot: PeerSlot, peer: Peer, ports: PortPlan | undefined, now: Millis): readonly NodeEffect[] {
    const theirs = ports === undefined ? undefined : endpointOf(ports);
    if (theirs === undefined || peer.path.state.name === "direct") return [];
    const crossed = this.#punches.get(slot);
    const isBusy = crossed instanceof HardPunch || this.#freshCount() >= MAX_FRESH;
    if (isBusy) return this.#perform(slot, { type: "say", step: "busy" }, now);
    if (now < (this.#freshAnsweredAgainAt.get(slot) ?? 0)) return this.#perform(slot, { type: "say", step: "no" }, now);
    if (crossed !== undefined) this.#end(slot, crossed, now);
    this.#freshAnsweredAgainAt.set(slot, now + FRESH_ANSWERED_AGAIN);
    return this.#begin(slot, new FreshPunch({ theirs, now }), now);
  }

  #begin(slot: PeerSlot, punch: Punch, now: Millis): readonly NodeEffect[] {
    this.#dueAt.delete(slot);
    this.#punches.set(slot, punch);
    return this.#do(slot, punch, punch.start(now), now);
  }

  #do(slot: PeerSlot, punch: Punch, effects: readonly PunchEffect[], now: Millis): readonly NodeEffect[] {
    const done = effects.flatMap((effect) => this.#perform(slot, effect, now, punch));
    if (punch.outcome !== undefined && this.#punches.get(slot) === punch) this.#end(slot, punch, now);
    return done;
  }

  #end(slot: PeerSlot, punch: Punch, now: Millis): void {
    const { outcome } = punch;
    this.#punches.delete(slot);
    if (this.#hard?.punch === punch) this.#hard = undefined;
    this.#around.count(`punch.${punch instanceof HardPunch ? "many" : "fresh"}.${outcome ?? "overtaken"}`);
    if (punch instanceof FreshPunch) this.#freshAgainAt.set(slot, now + this.#freshPause(slot, punch));
    if (punch instanceof HardPunch && outcome === "vain") this.#tryLater(slot, punch, now);
    if (outcome === "met") this.#unbegun.delete(slot);
    if (punch instanceof HardPunch && punch.scans !== undefined) this.#knocked.set(slot, { ip: punch.scans, until: now + LINGER });
    this.#hold(slot, now, outcome === "vain" || outcome === "busy" ? 0 : LINGER);
    if (punch.kept !== undefined) this.#sockets.lend(punch.kept, now);
    if (this.#around.peers.get(slot)?.path.state.name === "relayed") this.#dueAt.set(slot, this.#soon(now));
  }

  /** Whoever is busy before we knocked anywhere may be ready soon; afterwards it has had what a search costs. */
  #freshPause(slot: PeerSlot, punch: FreshPunch): Millis {
    if (punch.outcome !== "busy" || punch.hasKnocked) return FRESH_AGAIN;
    const times = this.#unbegun.get(slot) ?? 0;
    this.#unbegun.set(slot, times + 1);
    return Math.min(FRESH_AGAIN, FRESH_BUSY * 2 ** times);
  }

  #tryLater(slot: PeerSlot, punch: HardPunch, now: Millis): void {
    const { min, max } = HARD_AGAIN;
    const times = this.#unbegun.get(slot) ?? 0;
    // Who was asked is ready again before the asker is, and not before: our one place for a search is not at the asker's command.
    const unbegun = Math.min(min, UNBEGUN_AGAIN * 2 ** times) / (punch.isAsker ? 1 : 2);
    const tried = min + (punch.isAsker ? randomBelow(this.#around.random, max - min) : 0);
    this.#hardAgainAt.set(slot, now + (punch.isConclusive ? tried : unbegun));
    if (punch.isConclusive) this.#unbegun.delete(slot);
    else this.#unbegun.set(slot, times + 1);
  }

  #perform(slot: PeerSlot, effect: PunchEffect, now: Millis, punch?: Punch): readonly NodeEffect[] {
    const { probes, send } = this.#around;
    switch (effect.type) {
      case "open":
        if (punch !== undefined) this.#opening.push({ slot, punch });
        return [{ type: "open-sockets", count: effect.count }];
      case "sample":
        return this.#sample(slot, effect.socket, now);
      case "ping": {
        const { to, ttl, purpose } = effect;
        // Where witnesses vouch, many sockets may knock within bounds of their own; elsewhere a claim is a claim.
        const isClaimed = punch instanceof FreshPunch && to.type === "direct";
        const reason = ttl !== undefined ? "opening" : isClaimed && punch.isHeard ? "triggered" : "searching";
        if (isClaimed && !this.#around.affords(to.endpoint, reason, now)) return [];
        const bytes = probes.ping(slot, to, { purpose, now });
        return bytes === undefined ? [] : send(slot, to, bytes, { now, ...(ttl !== undefined && { ttl }) });
      }
      case "say": {
        const { type: _, ...said } = effect;
        const bytes = probes.frame(slot, { type: "punch", ...said });
        const by = this.#relayOf(slot);
        return by === undefined || bytes === undefined ? [] : send(slot, by, bytes, { now });
      }
      case "found":
        return this.#around.answered(slot, effect.candidate, effect.rtt, now);
    }
  }

  /** By the relay in use, or else a home: which port has our socket outside? */
  #sample(slot: PeerSlot, socket: SocketId, now: Millis): readonly NodeEffect[] {
    const by = this.#relayOf(slot);
    const relays = [...(by === undefined ? [] : [by.relay]), ...this.#around.homes()];
    for (const relay of relays) {
      const relaySlot = this.#around.slotOf(relay);
      const state = relaySlot === undefined ? undefined : this.#around.peers.get(relaySlot)?.path.state;
      const candidate = state?.name === "direct" ? state.path.candidate : undefined;
      if (relaySlot === undefined || candidate?.type !== "direct" || ipFamily(candidate.endpoint.ip) !== 4) continue;
      const to = direct(candidate.endpoint, socket);
      const bytes = this.#around.probes.ping(relaySlot, to, { purpose: "sample", now });
      return bytes === undefined ? [] : this.#around.send(relaySlot, to, bytes, { now });
    }
    return [];
  }

  #askWitnesses(slot: PeerSlot, number: number, now: Millis): readonly NodeEffect[] {
    const { peers, slotOf } = this.#around;
    const node = peers.get(slot)?.node;
    const open = [...peers.values()].filter(({ isRelay }) => isRelay).map((peer) => peer.node);
    // Whom the peer keeps a way open to has heard of it lately.
    const known = [...(peers.get(slot)?.homes ?? []), ...this.#around.homes(), ...open];
    const relays = [...new Set(known)].filter((relay) => relay !== node && slotOf(relay) !== undefined);
    this.#askAgainAt = ASK_AGAIN.map((after) => now + after);
    const inMesh = open.filter((relay) => relay !== node).length;
    return this.#witnesses
      .ask(number, { relays: relays.slice(0, MAX_ASKED), inMesh, now })
      .flatMap((relay) => this.#tell(relay, { type: "locate", number }, now));
  }

  #askAgain(now: Millis): NodeEffect[] {
    const number = this.#hard === undefined ? undefined : this.#around.numberOf(this.#hard.slot);
    if (number === undefined || now < (this.#askAgainAt[0] ?? Number.POSITIVE_INFINITY)) return [];
    this.#askAgainAt = this.#askAgainAt.filter((at) => at > now);
    return this.#witnesses.silent(number).flatMap((witness) => [...this.#tell(witness, { type: "locate", number }, now)]);
  }

  #tell(node: NodeId, body: FreeProbe, now: Millis): readonly NodeEffect[] {
    const slot = this.#around.slotOf(node);
    const used = slot === undefined ? undefined : this.#around.peers.get(slot)?.used[0];
    const bytes = slot === undefined ? undefined : this.#around.probes.frame(slot, body);
    return slot === undefined || used === undefined || bytes === undefined ? [] : this.#around.send(slot, used, bytes, { now });
  }

  // What is in use

  #relayOf(slot: PeerSlot): Extract<Candidate, { type: "relay" }> | undefined {
    const path = this.#around.peers.get(slot)?.path;
    const used = path?.state.name === "relayed" ? path.state.path.candidate : undefined;
    const first = path?.relays[0] === undefined ? undefined : relayed(path.relays[0]);
    return [used, first].find((candidate) => candidate?.type === "relay");
  }

  #uses(slot: PeerSlot, candidate: Candidate): boolean {
    const peer = this.#around.peers.get(slot);
    return peer !== undefined && [...peer.used, ...inState(peer.path.state)].some((one) => sameCandidate(one, candidate));
  }

  #isKnown(slot: PeerSlot, { ip, port }: Endpoint): boolean {
    return this.#around.peers.get(slot)?.path.endpoints.some((known) => known.ip === ip && known.port === port) === true;
  }

  #hold(slot: PeerSlot, now: Millis, linger: Millis): void {
    const peer = this.#around.peers.get(slot);
    const candidates = peer === undefined ? [] : [...peer.used, ...inState(peer.path.state)];
    const ofPath = candidates.flatMap((candidate) => (candidate.type === "direct" ? (candidate.socket ?? []) : []));
    this.#sockets.hold(slot, new Set([...ofPath, ...(this.#punches.get(slot)?.sockets ?? [])]), { now, linger });
  }

  /** User data passes, here or at the other end. */
  #isActive(slot: PeerSlot, now: Millis): boolean {
    const state = this.#around.peers.get(slot)?.path.state;
    const activeAt = state?.name === "relayed" ? state.activeAt : Number.NEGATIVE_INFINITY;
    return now < Math.max(activeAt, this.#wantedAt.get(slot) ?? Number.NEGATIVE_INFINITY) + ACTIVE_FOR;
  }

  #isLower(slot: PeerSlot): boolean {
    return (this.#around.ownNumber() ?? 0) < (this.#around.numberOf(slot) ?? 0);
  }

  #freshCount(): number {
    return [...this.#punches.values()].filter((punch) => punch instanceof FreshPunch).length;
  }

  #soon(now: Millis): Millis {
    return now + BUSY_FOR.min + randomBelow(this.#around.random, BUSY_FOR.max - BUSY_FOR.min);
  }
}

/** Where packets to the peer arrive by a round trip of ours: a relay's word for it. */
function placeOf(state: PathState, now: Millis): Endpoint | undefined {
  const isLate = state.name === "dormant" && now - Math.max(state.heardAt, state.sinceAt) > VOUCHED_FOR;
  if (isLate) return undefined;
  const candidate = state.name === "dormant" ? state.last?.candidate : state.name === "direct" ? state.path.candidate : undefined;
  return candidate?.type === "direct" ? candidate.endpoint : undefined;
}

/** Candidates that packets may go by without a further answer. */
function inState(state: PathState): readonly Candidate[] {
  switch (state.name) {
    case "direct":
    case "relayed":
    case "suspect":
      return [state.path.candidate];
    case "dormant":
      return state.last === undefined ? [] : [state.last.candidate];
    case "probing":
      return state.tentative;
    case "failed":
    case "stopped":
      return [];
  }
}
