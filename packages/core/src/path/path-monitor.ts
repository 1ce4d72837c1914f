import { type Endpoint, sameEndpoint } from "../address/endpoint.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { ProbePurpose } from "../wire/probe.ts";
import { MAX_CANDIDATES } from "./candidate.ts";

// Protocol times. Together: a silent peer is noticed within 3 s, an idle one costs nothing (docs/paths.md).

/** We sent and heard nothing for this long: ask. */
export const SILENCE_BEFORE_PING: Millis = seconds(1);
/** Unanswered PINGs on a path before it is suspect: with SILENCE_BEFORE_PING, and half a second until the engine's stamps are read, 2.4 s on a path of 150 ms. */
export const PINGS_BEFORE_SUSPECT = 3;
/** Between those PINGs at least; twice the round trip where that is longer. */
const MIN_PING_INTERVAL: Millis = 150;
/** Both ways quiet, but user data passed lately: PING this often. */
const HEARTBEAT_INTERVAL: Millis = seconds(5);
/** Traffic keeps a path fresh and says nothing of its round trip: a PING now and then does, while there is user data. */
export const MEASURE_INTERVAL: Millis = seconds(25);
/** After this long without user data nothing is sent at all. */
export const ACTIVE_FOR: Millis = seconds(45);
/** A suspect path is given up after this long. */
export const SUSPECT_FOR: Millis = seconds(1.5);
/** PINGs to all candidates, counted from the first. */
const PROBE_ROUNDS: readonly Millis[] = [0, 100, 300, 700, 1_500];
/** Probing without any answer ends after this long. */
export const PROBING_FOR: Millis = seconds(2.5);
/** Waits between attempts after a failure; the last one repeats for ever. */
const RETRY_INTERVALS: readonly Millis[] = [5, 10, 20, 40, 60, 300].map(seconds);
/** A path is left for another one that is better by both: less would flap. */
const BETTER_BY: Millis = 5;
const BETTER_RATIO = 0.9;

//            wanted        answered           heard          doubted        timer
//  dormant   → probing     → direct           → probing      → probing      —
//  probing   stay          → direct           ask there      stay           ask all; → failed after PROBING_FOR
//  direct    waits         fresh, or switch   fresh or ask   ask            ask when silent; → suspect after 3
//  suspect   stay          → direct           ask there      stay           ask all; → failed after SUSPECT_FOR
//  failed    → probing (1) → direct           → probing      stay           → probing at retryAt
//  stopped   stay          → direct           → probing      stay           —
//  The peer's goodbye makes any of them stopped; endpoints that it publishes later make that dormant. When our own network
//  changed, a direct path is asked, so that the peer hears where we are now, and a failed one is tried soon.
//  Traffic keeps a direct path fresh; what comes in on a failed one is taken as `wanted`: the peer is there again.
//  (1) at most every RETRY_INTERVALS[0], so that data for a dead peer is no flood of probes
export type PathState =
  | { readonly name: "dormant" }
  | {
      readonly name: "probing";
      readonly sinceAt: Millis;
      readonly round: number;
      readonly failures: number;
      readonly failedAt: Millis | undefined;
    }
  | {
      readonly name: "direct";
      readonly path: Path;
      readonly heardAt: Millis;
      /** When user data last went out or came in; minus infinity: not on this path yet. */
      readonly activeAt: Millis;
      /** User data went out then, or wanted to, and nothing authentic came since. */
      readonly unansweredAt: Millis | undefined;
      /** PINGs sent since it was last heard, and when the last one left. */
      readonly asked: number;
      readonly askedAt: Millis;
    }
  | { readonly name: "suspect"; readonly path: Path; readonly heardAt: Millis; readonly sinceAt: Millis; readonly round: number }
  | { readonly name: "failed"; readonly failedAt: Millis; readonly triedAt: Millis; readonly retryAt: Millis; readonly failures: number }
  | { readonly name: "stopped" };

export interface Path {
  readonly endpoint: Endpoint;
  /** Smoothed, as TCP's (RFC 6298: a new sample counts one eighth). */
  readonly rtt: Millis;
  /** When that was last measured. */
  readonly measuredAt: Millis;
}

export interface PeerPath {
  readonly state: PathState;
  /** Where the peer may be: what it published, then where it was heard. */
  readonly candidates: readonly Endpoint[];
}

export type PathEvent =
  /** Someone wants to reach the peer. */
  | { readonly type: "wanted" }
  | { readonly type: "candidates"; readonly endpoints: readonly Endpoint[] }
  /** The peer answered a PING sent to this endpoint. */
  | { readonly type: "answered"; readonly endpoint: Endpoint; readonly rtt: Millis }
  /** Something authentic came from this address: a PING or a handshake. Not a proof that packets to it arrive. */
  | { readonly type: "heard"; readonly from: Endpoint }
  /** The engine's stamps: user data sent and received, anything authentic received. */
  | { readonly type: "traffic"; readonly dataSentAt: Millis; readonly dataReceivedAt: Millis; readonly authenticatedReceivedAt: Millis }
  /** The peer said goodbye. */
  | { readonly type: "stopped" }
  /** Our own addresses or default routes changed: paths may have broken, or opened. One that failed is tried at `retryAt`, if not before. */
  | { readonly type: "network-changed"; readonly retryAt: Millis }
  /** The control link broke: the peer may be gone. */
  | { readonly type: "doubted" }
  | { readonly type: "timer" };

export type PathEffect =
  | { readonly type: "ping"; readonly to: Endpoint; readonly purpose: ProbePurpose }
  /** Packets go there from now on. */
  | { readonly type: "use"; readonly endpoint: Endpoint };

export interface PathStep {
  readonly peer: PeerPath;
  readonly effects: readonly PathEffect[];
}

export const NEW_PATH: PeerPath = { state: { name: "dormant" }, candidates: [] };

/** Advances one peer's path. Pure: the caller brings the time and carries out the effects, in order. */
export function stepPath(peer: PeerPath, event: PathEvent, now: Millis): PathStep {
  switch (event.type) {
    case "wanted":
      if (peer.state.name === "dormant") return probe(peer, now);
      if (peer.state.name === "failed" && now >= peer.state.triedAt + (RETRY_INTERVALS[0] ?? 0)) return probe(peer, now);
      // Packets may wait for a session, and its handshake get no answer: as if they had been sent.
      if (peer.state.name === "direct") return { peer: { ...peer, state: awaiting(peer.state, now) }, effects: [] };
      return { peer, effects: [] };

    case "candidates":
      return withCandidates(peer, event.endpoints, now);

    case "answered":
      return answered(peer, event, now);

    case "heard":
      return heard(peer, event.from, now);

    case "traffic":
      if (peer.state.name === "failed" && event.authenticatedReceivedAt > peer.state.triedAt)
        return stepPath(peer, { type: "wanted" }, now);
      return { peer: withTraffic(peer, event), effects: [] };

    case "stopped":
      return { peer: { state: { name: "stopped" }, candidates: [] }, effects: [] };

    case "network-changed":
      if (peer.state.name === "direct") return ask(peer.state, peer, now);
      if (peer.state.name !== "failed") return { peer, effects: [] };
      return { peer: { ...peer, state: { ...peer.state, retryAt: Math.min(peer.state.retryAt, event.retryAt) } }, effects: [] };

    case "doubted":
      if (peer.state.name === "dormant") return probe(peer, now);
      if (peer.state.name !== "direct") return { peer, effects: [] };
      return ask(peer.state, peer, now);

    case "timer":
      return onTimer(peer, now);
  }
}

/** When {@link stepPath} next needs a `timer`; undefined: never, until something else happens. */
export function pathWakeAt({ state }: PeerPath): Millis | undefined {
  switch (state.name) {
    case "dormant":
    case "stopped":
      return undefined;
    case "probing":
      return earliest(roundAt(state), state.sinceAt + PROBING_FOR);
    case "direct":
      return directWakeAt(state);
    case "suspect":
      return earliest(roundAt(state), state.sinceAt + SUSPECT_FOR);
    case "failed":
      return state.retryAt;
  }
}

type Direct = Extract<PathState, { name: "direct" }>;

function onTimer(peer: PeerPath, now: Millis): PathStep {
  const { state } = peer;
  const dueAt = pathWakeAt(peer);
  if (dueAt === undefined || now < dueAt) return { peer, effects: [] };
  switch (state.name) {
    case "dormant":
    case "stopped":
      return { peer, effects: [] };
    case "probing":
      if (now >= state.sinceAt + PROBING_FOR)
        return { peer: { ...peer, state: failed(state.failedAt ?? state.sinceAt, now, state.failures + 1) }, effects: [] };
      return { peer: { ...peer, state: { ...state, round: roundAfter(state.sinceAt, now) } }, effects: pingAll(peer.candidates) };
    case "direct":
      if (state.asked < PINGS_BEFORE_SUSPECT) return ask(state, peer, now);
      return {
        peer: { ...peer, state: { name: "suspect", path: state.path, heardAt: state.heardAt, sinceAt: now, round: 1 } },
        effects: pingAll(peer.candidates),
      };
    case "suspect":
      if (now >= state.sinceAt + SUSPECT_FOR) return { peer: { ...peer, state: failed(state.sinceAt, now, 1) }, effects: [] };
      return { peer: { ...peer, state: { ...state, round: roundAfter(state.sinceAt, now) } }, effects: pingAll(peer.candidates) };
    case "failed":
      return probe(peer, now);
  }
}

/** A silent path is asked at the pace of its round trip; a quiet one by heartbeat; one without user data not at all. */
function directWakeAt(state: Direct): Millis | undefined {
  if (state.asked > 0) return state.askedAt + Math.max(MIN_PING_INTERVAL, 2 * state.path.rtt);
  if (state.unansweredAt !== undefined) return state.unansweredAt + SILENCE_BEFORE_PING;
  // Counted from the last PING, too: where PONGs get lost and traffic does not, this is no reason for a flood.
  const measureAt = Math.max(state.path.measuredAt, state.askedAt) + MEASURE_INTERVAL;
  const askAt = Math.min(state.heardAt + HEARTBEAT_INTERVAL, measureAt);
  return askAt < state.activeAt + ACTIVE_FOR ? askAt : undefined;
}

function ask(state: Direct, peer: PeerPath, now: Millis): PathStep {
  const asking: Direct = { ...state, asked: state.asked + 1, askedAt: now };
  return { peer: { ...peer, state: asking }, effects: [{ type: "ping", to: state.path.endpoint, purpose: "heartbeat" }] };
}

function probe(peer: PeerPath, now: Millis): PathStep {
  const { state } = peer;
  const failures = state.name === "failed" ? state.failures : 0;
  const failedAt = state.name === "failed" ? state.failedAt : undefined;
  return { peer: { ...peer, state: { name: "probing", sinceAt: now, round: 1, failures, failedAt } }, effects: pingAll(peer.candidates) };
}

function answered(peer: PeerPath, { endpoint, rtt }: { readonly endpoint: Endpoint; readonly rtt: Millis }, now: Millis): PathStep {
  const { state } = peer;
  const candidates = withLearned(peer.candidates, endpoint);
  if (state.name !== "direct") {
    const found: Direct = {
      name: "direct",
      path: { endpoint, rtt, measuredAt: now },
      heardAt: now,
      activeAt: Number.NEGATIVE_INFINITY,
      unansweredAt: undefined,
      asked: 0,
      askedAt: 0,
    };
    return { peer: { state: found, candidates }, effects: [{ type: "use", endpoint }] };
  }
  if (sameEndpoint(state.path.endpoint, endpoint)) {
    const path = { endpoint, rtt: state.path.rtt + (rtt - state.path.rtt) / 8, measuredAt: now };
    return { peer: { candidates, state: { ...fresh(state, now), path } }, effects: [] };
  }
  const isBetter = rtt <= state.path.rtt - BETTER_BY && rtt <= state.path.rtt * BETTER_RATIO;
  if (!isBetter && state.asked === 0) return { peer: { ...peer, candidates }, effects: [] };
  return {
    peer: { candidates, state: { ...fresh(state, now), path: { endpoint, rtt, measuredAt: now } } },
    effects: [{ type: "use", endpoint }],
  };
}

/** What comes from a new address moves nothing by itself: the address must answer first, or anyone who copies a packet could. */
function heard(peer: PeerPath, from: Endpoint, now: Millis): PathStep {
  const { state } = peer;
  if (state.name === "direct" && sameEndpoint(state.path.endpoint, from)) {
    return { peer: { ...peer, state: fresh(state, now) }, effects: [] };
  }
  const candidates = withLearned(peer.candidates, from);
  if (state.name === "dormant" || state.name === "failed" || state.name === "stopped") return probe({ ...peer, candidates }, now);
  // It may have moved: if the path in use is silent from now on, the answer from there takes over at once.
  const asked = state.name === "direct" && state.asked === 0 ? ask(state, peer, now) : { peer, effects: [] };
  return { peer: { ...asked.peer, candidates }, effects: [...asked.effects, { type: "ping", to: from, purpose: "triggered" }] };
}

function withTraffic(peer: PeerPath, traffic: Extract<PathEvent, { type: "traffic" }>): PeerPath {
  const { state } = peer;
  if (state.name !== "direct") return peer;
  const { dataSentAt, dataReceivedAt, authenticatedReceivedAt } = traffic;
  const heardState = authenticatedReceivedAt > state.heardAt ? fresh(state, authenticatedReceivedAt) : state;
  const waiting = dataSentAt > heardState.heardAt ? dataSentAt : undefined;
  const unansweredAt = heardState.unansweredAt ?? waiting;
  return { ...peer, state: { ...heardState, unansweredAt, activeAt: Math.max(state.activeAt, dataSentAt, dataReceivedAt) } };
}

/** User data goes out, or wants to. */
function awaiting(state: Direct, now: Millis): Direct {
  return { ...state, unansweredAt: state.unansweredAt ?? now, activeAt: Math.max(state.activeAt, now) };
}

/** Something authentic came over the path. */
function fresh(state: Direct, heardAt: Millis): Direct {
  return { ...state, heardAt, unansweredAt: undefined, asked: 0 };
}

/** New claims of the peer. Whoever waits for a path tries them at once; the waits after further failures go on growing. */
function withCandidates(peer: PeerPath, endpoints: readonly Endpoint[], now: Millis): PathStep {
  const claimed = endpoints.slice(0, MAX_CANDIDATES);
  const added = claimed.filter((endpoint) => !peer.candidates.some((known) => sameEndpoint(known, endpoint)));
  const inUse = peer.state.name === "direct" || peer.state.name === "suspect" ? peer.state.path.endpoint : undefined;
  const next: PeerPath = { ...peer, candidates: inUse === undefined ? claimed : withLearned(claimed, inUse) };
  if (added.length === 0) return { peer: next, effects: [] };
  if (peer.state.name === "stopped") return { peer: { ...next, state: { name: "dormant" } }, effects: [] };
  if (peer.state.name === "failed") return probe(next, now);
  return { peer: next, effects: peer.state.name === "probing" || peer.state.name === "suspect" ? pingAll(added) : [] };
}

/** An address where the peer was heard, last in the list; the claims of its own record stay before it. */
function withLearned(candidates: readonly Endpoint[], endpoint: Endpoint): readonly Endpoint[] {
  if (candidates.some((known) => sameEndpoint(known, endpoint))) return candidates;
  return [...candidates.slice(0, MAX_CANDIDATES - 1), endpoint];
}

function pingAll(candidates: readonly Endpoint[]): readonly PathEffect[] {
  return candidates.map((to) => ({ type: "ping", to, purpose: "discover" }));
}

function failed(failedAt: Millis, now: Millis, failures: number): PathState {
  const wait = RETRY_INTERVALS[Math.min(failures, RETRY_INTERVALS.length) - 1] ?? 0;
  return { name: "failed", failedAt, triedAt: now, retryAt: now + wait, failures };
}

/** The first round still to come: a stall must not make up for those it missed, all at once. */
function roundAfter(sinceAt: Millis, now: Millis): number {
  const round = PROBE_ROUNDS.findIndex((after) => sinceAt + after > now);
  return round === -1 ? PROBE_ROUNDS.length : round;
}

function roundAt(state: { readonly sinceAt: Millis; readonly round: number }): Millis | undefined {
  const after = PROBE_ROUNDS[state.round];
  return after === undefined ? undefined : state.sinceAt + after;
}
