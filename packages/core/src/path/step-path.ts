import { distinctEndpoints, type Endpoint } from "../address/endpoint.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { Millis } from "../time/millis.ts";
import { isBetter } from "./better-path.ts";
import { type Candidate, isTcpEndpoint, MAX_ENDPOINTS_TRIED, MAX_RELAYS_TRIED, relayed, sameCandidate } from "./candidate.ts";
import { begin, isAmong, nextOfRound, offerByFirst, ping, pingEndpoints, pingRelays, punching } from "./path-round.ts";
import { failed, fresh, heardByTraffic, type InUse, inUse, waiting } from "./path-rules.ts";
import {
  ACTIVE_FOR,
  BESIDE_FOR,
  dormantAt,
  liveWakeAt,
  MEASURED_LATELY,
  OPENING_TTL,
  type Path,
  type PathEffect,
  type PathEvent,
  type PathInUse,
  type PathStep,
  type PeerPath,
  PINGS_BEFORE_SUSPECT,
  pathWakeAt,
  RETRY_INTERVALS,
  type Round,
  type Search,
  SUSPECT_FOR,
  searchWakeAt,
  stepAfter,
} from "./path-state.ts";

/** Advances one peer's path, by the table above PathState. Pure: the caller brings the time and carries out the effects, in order. */
export function stepPath(peer: PeerPath, event: PathEvent, now: Millis): PathStep {
  switch (event.type) {
    case "wanted":
      return wanted(peer, now);
    case "published":
      return published(peer, event, now);
    case "relays":
      return withRelays(
        { ...peer, isRelayable: event.isRelayable, tcpRelays: event.byTcp ?? [] },
        event.relays.slice(0, MAX_RELAYS_TRIED),
        now,
      );
    case "keepalive":
      return keptAlive({ ...peer, keepalive: event.every }, now);
    case "answered":
      return answered(peer, event, now);
    case "heard":
      return heard(peer, event, now);
    case "offered":
      return offered(peer, event, now);
    case "traffic":
      return traffic(peer, event, now);
    case "stopped":
      return still({ ...peer, state: { name: "stopped" }, endpoints: [], own: [], relays: [], keepalive: undefined });
    case "network-changed":
      return networkChanged(peer, event.retryAt, now);
    case "doubted":
      if (peer.state.name === "dormant") return probe(peer, now);
      return inUse(peer.state) ? ask(peer, peer.state, now) : still(peer);
    case "timer": {
      const dueAt = pathWakeAt(peer);
      return dueAt === undefined || now < dueAt ? still(peer) : onTimer(peer, now);
    }
  }
}

function still(peer: PeerPath): PathStep {
  return { peer, effects: [] };
}

function wanted(peer: PeerPath, now: Millis): PathStep {
  const { state } = peer;
  if (state.name === "probing" && (state.round.kind === "glancing" || state.round.kind === "asking")) return probe(peer, now);
  if (state.name === "dormant") return probe(peer, now);
  if (state.name === "failed" && now >= state.triedAt + (RETRY_INTERVALS[0] ?? 0)) return probe(peer, now);
  // Packets may wait for a session, and its handshake get no answer: as if they had been sent.
  if (inUse(state))
    return still({ ...peer, state: { ...state, unansweredAt: state.unansweredAt ?? now, activeAt: Math.max(state.activeAt, now) } });
  return still(peer);
}

/** Whoever is asked all the time is looked for at once. */
function keptAlive(peer: PeerPath, now: Millis): PathStep {
  return peer.keepalive !== undefined && peer.state.name === "dormant" ? probe(peer, now) : still(peer);
}

function onTimer(peer: PeerPath, now: Millis): PathStep {
  const { state } = peer;
  switch (state.name) {
    case "dormant":
      return retry({ ...peer, state: { ...state, isLapsed: true } }, peer);
    case "stopped":
      return still(peer);
    case "probing": {
      const { round, effects } = nextOfRound(peer, state.round, now);
      const byRelays = round?.kind === "asking" ? [] : pingRelays(peer);
      if (round !== undefined) return { peer: { ...peer, state: { ...state, round } }, effects: [...effects, ...byRelays] };
      return still({ ...peer, state: failed(state.failedAt ?? state.round.sinceAt, now, state.failures + 1) });
    }
    case "relayed":
    case "direct": {
      if (state.beside !== undefined && now >= state.beside.until) {
        const alone = aloneAgain(peer, state);
        return after(alone, stepPath(alone.peer, { type: "timer" }, now));
      }
      const searchAt = searchWakeAt(state.search);
      const step = searchAt !== undefined && searchAt <= now ? goOnSearching(peer, state, now) : still(peer);
      return inUse(step.peer.state) && liveWakeAt(step.peer.state, peer.keepalive) <= now
        ? after(step, live(step.peer, step.peer.state, now))
        : step;
    }
    case "suspect":
      if (now >= state.sinceAt + SUSPECT_FOR) return still({ ...peer, state: failed(state.sinceAt, now, 1) });
      return {
        peer: { ...peer, state: { ...state, step: stepAfter("knocking", state.sinceAt, now) } },
        effects: searchEverywhere(peer, state.path),
      };
    case "failed":
      return glance(peer, now);
  }
}

/** The new path has stood the first moments. */
function aloneAgain(peer: PeerPath, { beside: _, ...state }: InUse): PathStep {
  return { peer: { ...peer, state }, effects: [{ type: "use", candidates: [state.path.candidate] }] };
}

/** Asks a silent path, doubts one that was asked often, lets an idle one sleep. */
function live(peer: PeerPath, state: InUse, now: Millis): PathStep {
  if (state.asked >= PINGS_BEFORE_SUSPECT) return doubt(peer, state, now);
  const isIdle = state.asked === 0 && state.unansweredAt === undefined && peer.keepalive === undefined && now >= dormantAt(state);
  if (!isIdle) return ask(peer, state, now);
  const asleep: PeerPath = { ...peer, state: { name: "dormant", last: state.path, isLapsed: false, heardAt: state.heardAt, sinceAt: now } };
  return retry(asleep, peer);
}

/** A path that sleeps: what its first packets will try, if that is something else than before. */
function retry(peer: PeerPath, before: PeerPath): PathStep {
  const candidates = firstTried(peer);
  const known = inUse(before.state) ? [before.state.path.candidate] : firstTried(before);
  const isSame = candidates.length === known.length && candidates.every((one, i) => sameCandidate(one, known[i]));
  return { peer, effects: candidates.length === 0 || isSame ? [] : [{ type: "use", candidates }] };
}

/** All are asked at once, and packets go by a relay besides. */
function doubt(peer: PeerPath, { path, heardAt }: PathInUse, now: Millis): PathStep {
  const standby = peer.relays.map(relayed).find((relay) => !sameCandidate(relay, path.candidate));
  const use: readonly PathEffect[] = standby === undefined ? [] : [{ type: "use", candidates: [path.candidate, standby] }];
  return {
    peer: { ...peer, state: { name: "suspect", path, heardAt, sinceAt: now, step: 1 } },
    effects: [...use, ...searchEverywhere(peer, path)],
  };
}

function searchEverywhere(peer: PeerPath, path: Path): readonly PathEffect[] {
  // What leaves by a further socket is another flow to every NAT than what leaves by the first.
  const hasSocket = path.candidate.type === "direct" && path.candidate.socket !== undefined;
  return [...(hasSocket ? [ping(path.candidate, "discover")] : []), ...pingEndpoints(peer), ...pingRelays(peer), ...offerByFirst(peer)];
}

function ask(peer: PeerPath, state: InUse, now: Millis): PathStep {
  const asking: InUse = { ...state, asked: state.asked + 1, askedAt: now };
  return { peer: { ...peer, state: asking }, effects: [{ type: "ping", to: state.path.candidate, purpose: "heartbeat" }] };
}

/** Asks on the path in use, and until that is answered nothing else counts. */
function contest(peer: PeerPath, state: InUse, now: Millis): PathStep {
  const contested: InUse = { ...state, isContested: true };
  return state.asked === 0 ? ask(peer, contested, now) : still({ ...peer, state: contested });
}

/** The peer was heard by it: packets arrive that way, if not by the path in use. */
function withRelayBeside({ peer, effects }: PathStep, relay: Candidate, now: Millis): PathStep {
  const { state } = peer;
  if (!inUse(state) || state.beside !== undefined || now >= state.activeAt + ACTIVE_FOR) return { peer, effects };
  const both: PathEffect = { type: "use", candidates: [state.path.candidate, relay] };
  return { peer: { ...peer, state: { ...state, beside: { candidate: relay, until: now + BESIDE_FOR } } }, effects: [both, ...effects] };
}

/** Looks for the peer with all there is; packets that cannot wait take what may work. */
function probe(peer: PeerPath, now: Millis): PathStep {
  const { state } = peer;
  const { failures, failedAt } = state.name === "failed" || state.name === "probing" ? state : { failures: 0, failedAt: undefined };
  const tentative = firstTried(peer);
  const { round, effects } = begin(peer, failures, now);
  const use: readonly PathEffect[] = tentative.length === 0 ? [] : [{ type: "use", candidates: tentative }];
  // By a further socket: rounds do not ask there.
  const further = tentative.filter((candidate) => candidate.type === "direct" && candidate.socket !== undefined);
  return {
    peer: { ...peer, state: { name: "probing", round, failures, failedAt, tentative } },
    effects: [...use, ...further.map((candidate) => ping(candidate, "discover")), ...effects, ...pingRelays(peer)],
  };
}

/** Is a peer there again that nobody sends to? It would have said so itself; hence seldom, and with few PINGs. */
function glance(peer: PeerPath, now: Millis): PathStep {
  const { state } = peer;
  if (state.name !== "failed") return still(peer);
  const { failures, failedAt } = state;
  const round: Round = { kind: "glancing", sinceAt: now, step: 1 };
  return {
    peer: { ...peer, state: { name: "probing", round, failures, failedAt, tentative: [] } },
    effects: [...pingEndpoints(peer), ...pingRelays(peer)],
  };
}

/** What packets try before anything is proven: the last path, and the first relay, unless that path leads to where anyone is let in. */
function firstTried({ state, relays, isReachable }: PeerPath): readonly Candidate[] {
  const last = state.name === "dormant" ? state.last?.candidate : undefined;
  if (last?.type === "direct" && isReachable) return [last];
  const isLeft = last?.type === "direct" || (last?.type === "relay" && relays.includes(last.relay));
  const first = relays[0] === undefined ? [] : [relayed(relays[0])];
  if (state.name === "dormant" && state.isLapsed && first.length > 0) return first;
  return last !== undefined && isLeft ? [last, ...first.filter((relay) => !sameCandidate(relay, last))] : first;
}

function goOnSearching(peer: PeerPath, state: InUse, now: Millis): PathStep {
  const { search } = state;
  if (search === undefined) return still(peer);
  if (search.name === "waiting") {
    const { round, effects } = begin(peer, search.failures, now);
    return { peer: { ...peer, state: { ...state, search: { name: "round", round, failures: search.failures } } }, effects };
  }
  const { round, effects } = nextOfRound(peer, search.round, now);
  if (round !== undefined) return { peer: { ...peer, state: { ...state, search: { ...search, round } } }, effects };
  // A straight path was there all the time.
  const next = state.name === "direct" ? undefined : waiting(search.failures, now);
  return { peer: { ...peer, state: { ...state, search: next } }, effects };
}

// What the peer says

function answered(peer: PeerPath, { candidate, rtt }: { readonly candidate: Candidate; readonly rtt: Millis }, now: Millis): PathStep {
  const { state } = peer;
  const knowing = learn(peer, candidate);
  if (!inUse(state)) return found(knowing, { candidate, rtt, measuredAt: now }, now);
  const { path } = state;
  if (sameCandidate(path.candidate, candidate)) {
    const measured = { candidate, rtt: path.rtt + (rtt - path.rtt) / 8, measuredAt: now };
    return still({ ...knowing, state: { ...fresh(state, now), path: measured, isContested: false } });
  }
  const isLed = sameCandidate(state.led, candidate) && path.candidate.type === "direct";
  if (!isLed && !isBetter({ candidate, rtt }, state, peer.tcpRelays)) return still(knowing);
  return found(knowing, { candidate, rtt, measuredAt: now }, now);
}

/** Packets go by this path now. While it is a relay's, a straight one is looked for. */
function found(peer: PeerPath, path: Path, now: Millis): PathStep {
  const { state } = peer;
  const activeAt = inUse(state) ? state.activeAt : Number.NEGATIVE_INFINITY;
  const use = { path, heardAt: now, activeAt, unansweredAt: undefined, asked: 0, askedAt: 0 };
  const effects: readonly PathEffect[] = [{ type: "use", candidates: [path.candidate] }];
  if (path.candidate.type === "direct" && state.name === "relayed") {
    const relay = state.path.candidate;
    const beside = { candidate: relay, until: now + BESIDE_FOR };
    const both: PathEffect = { type: "use", candidates: [path.candidate, relay] };
    return { peer: { ...peer, state: { name: "direct", ...use, search: undefined, beside } }, effects: [both] };
  }
  if (path.candidate.type === "direct") return { peer: { ...peer, state: { name: "direct", ...use, search: undefined } }, effects };
  const { search, effects: searching } = searchOf(peer, now);
  return { peer: { ...peer, state: { name: "relayed", ...use, search } }, effects: [...effects, ...searching] };
}

/** The search that is under way goes on; else one begins. */
function searchOf(peer: PeerPath, now: Millis): { readonly search: Search; readonly effects: readonly PathEffect[] } {
  const { state } = peer;
  if (inUse(state) && state.search !== undefined) return { search: state.search, effects: [] };
  if (state.name === "probing") return { search: { name: "round", round: state.round, failures: state.failures }, effects: [] };
  const { round, effects } = begin(peer, 0, now);
  return { search: { name: "round", round, failures: 0 }, effects };
}

/** What comes from a new address moves nothing by itself: the address must answer first, or anyone who copies a packet could. */
function heard(peer: PeerPath, { from, leads, isKeepalive }: Extract<PathEvent, { type: "heard" }>, now: Millis): PathStep {
  const { state } = peer;
  if (inUse(state) && sameCandidate(state.path.candidate, from)) return still({ ...peer, state: fresh(state, now) });
  if (state.name === "dormant" && sameCandidate(state.last?.candidate, from))
    return retry({ ...peer, state: { ...state, isLapsed: false, heardAt: now } }, peer);
  const knowing = learn(peer, from);
  const triggered = ping(from, "triggered");
  switch (state.name) {
    case "dormant":
    case "failed":
    case "stopped": {
      if (isKeepalive === true && from.type === "direct") return askThere(knowing, from, now);
      // From there our PING is expected, whatever has to be opened first elsewhere.
      const probing = probe(knowing, now);
      const isOpening = probing.peer.state.name === "probing" && probing.peer.state.round.kind === "opening";
      return isOpening && from.type === "direct" ? after(probing, { peer: probing.peer, effects: [triggered] }) : probing;
    }
    case "probing":
      return { peer: { ...knowing, state: { ...state, round: afterHearing(state.round, from, now) } }, effects: [triggered] };
    case "suspect":
      return { peer: knowing, effects: [triggered] };
    case "relayed": {
      // By another relay: the peer has its own opinion of which is best. Straight: its PINGs come through, so ours may.
      if (from.type === "relay") return still(knowing);
      const search: Search =
        state.search?.name === "round"
          ? { ...state.search, round: afterHearing(state.search.round, from, now) }
          : { name: "round", round: punching(now), failures: state.search?.failures ?? 0 };
      return { peer: { ...knowing, state: { ...state, search } }, effects: [triggered] };
    }
    case "direct": {
      // It has its own opinion of the path in use: the answer on that one tells. An answer of a moment ago has told already.
      if (from.type === "relay" && now < state.path.measuredAt + MEASURED_LATELY) return still(knowing);
      const contested = contest(knowing, leads === true ? { ...state, led: from } : state, now);
      // It may have moved: if the path in use is silent from now on, the answer from there takes over at once.
      return from.type === "relay"
        ? withRelayBeside(contested, from, now)
        : { peer: contested.peer, effects: [...contested.effects, triggered] };
    }
  }
}

/** It was seen elsewhere before: there it is asked, and everywhere only if that is in vain. */
function askThere(peer: PeerPath, from: Candidate, now: Millis): PathStep {
  const { peer: probing } = probe(peer, now);
  if (probing.state.name !== "probing") return still(peer);
  const round: Round = { kind: "asking", sinceAt: now, step: 1, asked: from };
  return { peer: { ...probing, state: { ...probing.state, round, tentative: [] } }, effects: [ping(from, "triggered")] };
}

/** The peer's PINGs come through: nothing is to be opened first any more. */
function afterHearing(round: Round, from: Candidate, now: Millis): Round {
  return round.kind === "opening" && from.type === "direct" ? punching(now) : round;
}

/** The peer sends PINGs now, or as soon as it gets our answer: so do we. */
function offered(peer: PeerPath, offer: Extract<PathEvent, { type: "offered" }>, now: Millis): PathStep {
  const { state } = peer;
  const endpoints = beside(peer, distinctEndpoints([...offer.reflexive, ...offer.own, ...peer.endpoints]));
  const knowing = learn({ ...peer, endpoints, own: offer.own }, offer.from);
  const reply: readonly PathEffect[] = offer.isAnswer ? [] : [{ type: "offer", by: offer.from, isAnswer: true }];
  const punch = { round: punching(now), effects: [...reply, ...pingEndpoints(knowing)] };
  switch (state.name) {
    case "dormant":
    case "failed":
    case "stopped": {
      // An answer that nobody waits for any more.
      if (offer.isAnswer) return still(knowing);
      const probing = probe(knowing, now);
      if (probing.peer.state.name !== "probing") return probing;
      const use = probing.effects.filter(({ type }) => type === "use");
      return {
        peer: { ...probing.peer, state: { ...probing.peer.state, round: punch.round } },
        effects: [...use, ...punch.effects, ...pingRelays(knowing)],
      };
    }
    case "probing":
      if (state.round.kind === "punching") return { peer: knowing, effects: reply };
      return { peer: { ...knowing, state: { ...state, round: punch.round } }, effects: punch.effects };
    case "suspect":
      return { peer: knowing, effects: punch.effects };
    case "relayed":
    case "direct": {
      if (state.search?.name === "round" && state.search.round.kind === "punching") return { peer: knowing, effects: reply };
      if (state.name === "direct" && offer.isAnswer) return still(knowing);
      const search: Search = { name: "round", round: punch.round, failures: state.search?.failures ?? 0 };
      const step: PathStep = { peer: { ...knowing, state: { ...state, search } }, effects: punch.effects };
      // The peer lost a path that seems well from here.
      return state.name === "direct" && inUse(step.peer.state) ? after(step, contest(step.peer, step.peer.state, now)) : step;
    }
  }
}

function after(first: PathStep, then: PathStep): PathStep {
  return { peer: then.peer, effects: [...first.effects, ...then.effects] };
}

/** An address where the peer was heard is last in the list; the claims of its own stay before it. A relay it came by is one that reaches it. */
function learn(peer: PeerPath, candidate: Candidate): PeerPath {
  if (candidate.type === "relay") {
    if (peer.relays.includes(candidate.relay)) return peer;
    return { ...peer, relays: [...peer.relays.slice(0, MAX_RELAYS_TRIED - 1), candidate.relay] };
  }
  const { endpoint } = candidate;
  if (isAmong(peer.endpoints, endpoint)) return peer;
  // A connection that was made anew takes the place of the one before.
  const known = isTcpEndpoint(endpoint) ? peer.endpoints.filter((one) => !isTcpEndpoint(one)) : peer.endpoints;
  return { ...peer, endpoints: [...known.slice(0, MAX_ENDPOINTS_TRIED - 1), endpoint] };
}

/** What the peer says of where it is takes no connection away that we have to it. */
function beside(peer: PeerPath, said: readonly Endpoint[]): readonly Endpoint[] {
  const others = said.filter((endpoint) => !isTcpEndpoint(endpoint));
  return [...peer.endpoints.filter(isTcpEndpoint), ...others].slice(0, MAX_ENDPOINTS_TRIED);
}

/** New claims of the peer. Whoever waits for a path tries them at once; the waits after further failures go on growing. */
function published(peer: PeerPath, event: Extract<PathEvent, { type: "published" }>, now: Millis): PathStep {
  const { state } = peer;
  // A host's many own addresses must not push out the one that others can reach.
  const reflexive = distinctEndpoints(event.reflexive);
  const own = distinctEndpoints(event.own).slice(0, Math.max(0, MAX_ENDPOINTS_TRIED - reflexive.length));
  const claimed = distinctEndpoints([...own, ...reflexive]).slice(0, MAX_ENDPOINTS_TRIED);
  const added = claimed.filter((endpoint) => !isAmong(peer.endpoints, endpoint));
  const used = inUse(state) || state.name === "suspect" ? state.path.candidate : undefined;
  const { isReachable, isKept } = event;
  const said: PeerPath = { ...peer, endpoints: beside(peer, claimed), own: event.own, isReachable, isKept };
  const next = used?.type === "direct" ? learn(said, used) : said;
  // It is there again, be it nowhere that we know how to find.
  if (state.name === "stopped")
    return still({ ...next, state: { name: "dormant", last: undefined, isLapsed: true, heardAt: 0, sinceAt: now } });
  if (added.length === 0) return still(next);
  const isOpening = state.name === "probing" && state.round.kind === "opening";
  const pings = pingEndpoints({ ...next, endpoints: added }, isOpening ? OPENING_TTL : undefined);
  switch (state.name) {
    case "failed":
      return probe(next, now);
    case "dormant":
    case "direct":
      return still(next);
    case "probing":
    case "suspect":
    case "relayed":
      return { peer: next, effects: pings };
  }
}

/** Relays came or went. */
function withRelays(peer: PeerPath, relays: readonly NodeId[], now: Millis): PathStep {
  const { state } = peer;
  const next: PeerPath = { ...peer, relays };
  const added = relays.filter((relay) => !peer.relays.includes(relay)).map(relayed);
  switch (state.name) {
    case "stopped":
    case "direct":
    case "suspect":
      return still(next);
    case "dormant":
      return state.last === undefined ? still(next) : retry(next, peer);
    case "failed":
      return added.length > 0 ? probe(next, now) : still(next);
    case "probing": {
      if (added.length === 0 || state.round.kind === "asking") return still(next);
      const pings = added.map((relay) => ping(relay, "discover"));
      if (peer.relays.length > 0) return { peer: next, effects: pings };
      // The first one: now there is a way for what waits, and the peer can be asked to help.
      const tentative = [...state.tentative.filter(({ type }) => type === "direct"), ...added.slice(0, 1)];
      const { round, effects } = begin(next, state.failures, now);
      const use: PathEffect = { type: "use", candidates: tentative };
      return { peer: { ...next, state: { ...state, tentative, round } }, effects: [use, ...effects, ...pings] };
    }
    case "relayed": {
      const { candidate } = state.path;
      return candidate.type === "relay" && !relays.includes(candidate.relay) ? doubt(next, state, now) : still(next);
    }
  }
}

function traffic(peer: PeerPath, stamps: Extract<PathEvent, { type: "traffic" }>, now: Millis): PathStep {
  const { state } = peer;
  const { dataSentAt, dataReceivedAt, authenticatedReceivedAt } = stamps;
  if (state.name === "failed" && authenticatedReceivedAt > state.triedAt) return wanted(peer, now);
  if (state.name === "dormant" && Math.max(dataSentAt, dataReceivedAt) > state.sinceAt) return probe(peer, now);
  if (!inUse(state)) return still(peer);
  const heardState = authenticatedReceivedAt > state.heardAt ? heardByTraffic(state, authenticatedReceivedAt) : state;
  const sinceAt = dataSentAt > heardState.heardAt ? dataSentAt : undefined;
  const unansweredAt = heardState.unansweredAt ?? sinceAt;
  return still({ ...peer, state: { ...heardState, unansweredAt, activeAt: Math.max(state.activeAt, dataSentAt, dataReceivedAt) } });
}

function networkChanged(peer: PeerPath, retryAt: Millis, now: Millis): PathStep {
  const { state } = peer;
  if (state.name === "failed") return still({ ...peer, state: { ...state, retryAt: Math.min(state.retryAt, retryAt) } });
  if (!inUse(state)) return still(peer);
  const search: Search | undefined =
    state.search?.name === "waiting" ? { name: "waiting", retryAt: Math.min(state.search.retryAt, retryAt), failures: 0 } : state.search;
  const searching: PeerPath = { ...peer, state: { ...state, search } };
  // Whoever talks does not wait for two questions: a relay carries the packets until the answer.
  const isActive = now < state.activeAt + ACTIVE_FOR && peer.relays.length > 0;
  return isActive ? doubt(searching, state, now) : ask(searching, { ...state, search }, now);
}
