import type { Endpoint } from "../address/endpoint.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { ProbePurpose } from "../wire/probe.ts";
import type { Candidate } from "./candidate.ts";

// Protocol times. Together: a silent peer is noticed within 3 s, an idle one costs nothing (docs/paths.md).

/** We sent and heard nothing for this long: ask. */
export const SILENCE_BEFORE_PING: Millis = 600;
/** A straight path measured so lately is not asked because a PING came by a relay. */
export const MEASURED_LATELY: Millis = seconds(1);
/** Unanswered PINGs on a path before it is suspect: with SILENCE_BEFORE_PING, and a quarter until the engine's stamps are read, 1.5 s on a path of 150 ms. A false alarm costs nothing: packets go two ways for a moment. */
export const PINGS_BEFORE_SUSPECT = 2;
/** Between those PINGs at least; twice the round trip where that is longer. */
const MIN_PING_INTERVAL: Millis = 150;
/** The same where traffic of the peer goes on, but by another path: nothing hurries, and a busy node is no dead one. */
const CONTESTED_PING_INTERVAL: Millis = 400;
/** Both ways quiet, but user data passed lately: PING this often. */
const HEARTBEAT_INTERVAL: Millis = seconds(5);
/** Traffic keeps a path fresh and says nothing of its round trip: a PING now and then does, while there is user data. */
export const MEASURE_INTERVAL: Millis = seconds(25);
/** After this long without user data nothing is sent at all. */
export const ACTIVE_FOR: Millis = seconds(45);
/** A direct path that nothing has proven for so long may lead through a NAT that has forgotten it: the least lifetimes are 15 s. */
export const PROVEN_FOR: Millis = seconds(12);
/** So much later it is not tried first any more where a relay leads to the peer: what knocks at a NAT unasked may spoil the port for the answer. */
export const LAPSED_AFTER: Millis = seconds(18);
/**
 * Packets go by a new straight path and by the relay before it for so long: a NAT that changes its mind about a flow does so with
 * the first packets.
 */
export const BESIDE_FOR: Millis = seconds(1);
/** A suspect path is given up after this long. */
export const SUSPECT_FOR: Millis = seconds(1.5);
/** A round without any answer ends after this long. */
export const ROUND_FOR: Millis = seconds(2.5);
/** Waits between attempts after a failure; the last one repeats for ever. */
export const RETRY_INTERVALS: readonly Millis[] = [5, 10, 20, 40, 60, 300].map(seconds);

/** A relay is left for another one that is better by both. */
export const RELAY_BETTER_BY: Millis = 20;
export const RELAY_BETTER_RATIO = 0.8;
/** A direct path is left for another one that is better by both: less would flap. */
export const BETTER_BY: Millis = 5;
export const BETTER_RATIO = 0.9;

/**
 * PINGs that shall open our NAT and reach no other one live for so many hops: many gateways remember what came unasked, and then
 * give the flow of the host behind them another port.
 */
export const OPENING_TTL = 4;

/**
 * One search for a path that is straight. `asking`: the one place from which the peer keeps a way to us open. `glancing`: nobody waits for it. `knocking`: to endpoints that need no help of the peer. `opening`: PINGs that reach only
 * our own NAT, and an offer by a relay. `punching`: both ends send, because the peer has answered or made an offer, or in case it got ours.
 */
export interface Round {
  readonly kind: "asking" | "glancing" | "knocking" | "opening" | "punching";
  /** The place that is asked, of `asking`. */
  readonly asked?: Candidate;
  readonly sinceAt: Millis;
  /** Next line of its schedule. */
  readonly step: number;
}

/** PINGs to all candidates, counted from the beginning of the round. */
const SCHEDULES: Readonly<Record<Round["kind"], readonly Millis[]>> = {
  asking: [0, 100, 300, 700],
  glancing: [0, 700],
  knocking: [0, 100, 300, 700, 1_500],
  opening: [0, 20, 50],
  punching: [0, 20, 50, 100, 200, 300, 500, 800, 1_500],
};
/** Who keeps a way open answers there within a round trip. */
const ASKING_FOR: Millis = seconds(1);
/** After this long without an answer to the offer the peer is taken to have it. */
const OPENING_FOR: Millis = 400;

/** What is looked for beside a path in use. */
export type Search =
  | { readonly name: "round"; readonly round: Round; readonly failures: number }
  | { readonly name: "waiting"; readonly retryAt: Millis; readonly failures: number };

export interface Path {
  readonly candidate: Candidate;
  /** Smoothed, as TCP's (RFC 6298: a new sample counts one eighth). */
  readonly rtt: Millis;
  /** When that was last measured. */
  readonly measuredAt: Millis;
}

/** A path that was proven and carries the packets. */
export interface PathInUse {
  readonly path: Path;
  readonly heardAt: Millis;
  /** When user data last went out or came in; minus infinity: not on this path yet. */
  readonly activeAt: Millis;
  /** User data went out then, or wanted to, and nothing authentic came since. */
  readonly unansweredAt: Millis | undefined;
  /** PINGs sent since it was last heard, and when the last one left. */
  readonly asked: number;
  readonly askedAt: Millis;
  /** The peer goes this way instead: so do we, once it has answered there. */
  readonly led?: Candidate;
  /** For a straight path: always while relayed, and when the peer looks for one. */
  readonly search: Search | undefined;
  /** The peer sends by another path, or looks for one: until it answers on this one, its traffic proves nothing of this one. */
  readonly isContested?: boolean;
  /** Packets go by this relay besides, until then: the path is new, or the peer was heard by the relay. */
  readonly beside?: { readonly candidate: Candidate; readonly until: Millis };
}

//            wanted        answered           heard          doubted        timer
//  dormant   → probing     → direct|relayed   → probing (2)  → probing      lapses, once
//  probing   stay          → direct|relayed   ask there      stay           next of the round; → failed at its end
//  relayed   waits         → direct; fresh,   fresh or ask   ask            ask when silent, → suspect after 2; search
//                          or another relay   there
//  direct    waits         fresh, or switch   fresh or ask   ask            ask when silent; → suspect after 2
//  suspect   stay          → direct|relayed   ask there      stay           next of the round; → failed after SUSPECT_FOR
//  failed    → probing (1) → direct|relayed   → probing      stay           → probing at retryAt
//  stopped   stay          → direct|relayed   → probing      stay           —
//  direct and relayed become dormant when nothing has proven them for PROVEN_FOR and there was no user data for ACTIVE_FOR.
//  The peer's goodbye makes any of them stopped; endpoints that it publishes later make that dormant. When our own network
//  changed, a path in use is asked, so that the peer hears where we are now, and a failed one is tried soon.
//  Traffic keeps a path fresh, but not a contested one that was asked: there the answer alone counts. What moves on a dormant one, or comes in on a failed one, is taken as `wanted`: the peer is there again.
//  (1) at most every RETRY_INTERVALS[0], so that data for a dead peer is no flood of probes
//  (2) but not where it was heard last: that is its keepalive
export type PathState =
  /**
   * What was last in use is used again for the first packets; in case it has closed, a relay beside it, and once it has lapsed,
   * the relay alone.
   */
  | {
      readonly name: "dormant";
      readonly last: Path | undefined;
      readonly isLapsed: boolean;
      readonly heardAt: Millis;
      readonly sinceAt: Millis;
    }
  | {
      readonly name: "probing";
      readonly round: Round;
      readonly failures: number;
      readonly failedAt: Millis | undefined;
      /** Not proven, and better than to wait: what was last in use, and a relay that we reach. */
      readonly tentative: readonly Candidate[];
    }
  | ({ readonly name: "relayed" } & PathInUse)
  | ({ readonly name: "direct" } & PathInUse)
  | { readonly name: "suspect"; readonly path: Path; readonly heardAt: Millis; readonly sinceAt: Millis; readonly step: number }
  | { readonly name: "failed"; readonly failedAt: Millis; readonly triedAt: Millis; readonly retryAt: Millis; readonly failures: number }
  | { readonly name: "stopped" };

export interface PeerPath {
  readonly state: PathState;
  /** Where the peer may be: what it offered or published, then where it was heard. */
  readonly endpoints: readonly Endpoint[];
  /** Of these, those at its host's own addresses: no NAT is there that must not be knocked at. */
  readonly own: readonly Endpoint[];
  /** Members that we reach and that may reach it, best first. */
  readonly relays: readonly NodeId[];
  /** Of these, those that we reach by TCP alone. */
  readonly tcpRelays: readonly NodeId[];
  /** There are members that relay between us, reached or not. */
  readonly isRelayable: boolean;
  /** Others have reached it unasked: no NAT has to be opened. */
  readonly isReachable: boolean;
  /** We are a home relay of it: it lets us hear where it is, and what others send it by us goes there in any case. */
  readonly isKept: boolean;
  /** It is asked this often whether or not there is user data; undefined: it need not be. */
  readonly keepalive: Millis | undefined;
}

export const NEW_PATH: PeerPath = {
  state: { name: "dormant", last: undefined, isLapsed: true, heardAt: 0, sinceAt: 0 },
  endpoints: [],
  own: [],
  relays: [],
  tcpRelays: [],
  isRelayable: false,
  isReachable: false,
  isKept: false,
  keepalive: undefined,
};

export type PathEvent =
  /** Someone wants to reach the peer. */
  | { readonly type: "wanted" }
  /** What its record says. */
  | {
      readonly type: "published";
      readonly own: readonly Endpoint[];
      readonly reflexive: readonly Endpoint[];
      readonly isReachable: boolean;
      readonly isKept: boolean;
    }
  | { readonly type: "relays"; readonly relays: readonly NodeId[]; readonly byTcp?: readonly NodeId[]; readonly isRelayable: boolean }
  | { readonly type: "keepalive"; readonly every: Millis | undefined }
  /** The peer answered a PING sent this way. */
  | { readonly type: "answered"; readonly candidate: Candidate; readonly rtt: Millis }
  /** Something authentic came this way: a PING or a handshake. Not a proof that packets arrive by it. */
  | {
      readonly type: "heard";
      readonly from: Candidate;
      /** It goes this way, and of ways that are as good we take the one that it takes. */
      readonly leads?: boolean;
      /** It only keeps this way open: nothing else needs to be found. */
      readonly isKeepalive?: boolean;
    }
  /** The peer looks for a straight path and says where it may be found. */
  | {
      readonly type: "offered";
      readonly from: Candidate;
      readonly own: readonly Endpoint[];
      readonly reflexive: readonly Endpoint[];
      readonly isAnswer: boolean;
    }
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
  /** `ttl`: so many hops, the usual number unless told. */
  | { readonly type: "ping"; readonly to: Candidate; readonly purpose: ProbePurpose; readonly ttl?: number }
  /** Tells the peer where we may be found, and asks it to look for us. */
  | { readonly type: "offer"; readonly by: Candidate; readonly isAnswer: boolean }
  /** Packets go by each of these from now on. */
  | { readonly type: "use"; readonly candidates: readonly Candidate[] };

export interface PathStep {
  readonly peer: PeerPath;
  readonly effects: readonly PathEffect[];
}

/** When {@link stepPath} next needs a `timer`; undefined: never, until something else happens. */
export function pathWakeAt({ state, keepalive, isKept }: PeerPath): Millis | undefined {
  switch (state.name) {
    case "dormant":
      return state.isLapsed || isKept ? undefined : Math.max(state.sinceAt, state.heardAt) + LAPSED_AFTER;
    case "stopped":
      return undefined;
    case "probing":
      return roundWakeAt(state.round);
    case "relayed":
    case "direct":
      return earliest(liveWakeAt(state, keepalive), searchWakeAt(state.search), state.beside?.until);
    case "suspect":
      return earliest(stepAt("knocking", state), state.sinceAt + SUSPECT_FOR);
    case "failed":
      return state.retryAt;
  }
}

/** A silent path is asked at the pace of its round trip; a quiet one by heartbeat; one without user data not at all, and in time it goes to sleep. */
export function liveWakeAt(state: PathInUse, keepalive: Millis | undefined): Millis {
  const interval = state.isContested === true ? CONTESTED_PING_INTERVAL : MIN_PING_INTERVAL;
  if (state.asked > 0) return state.askedAt + Math.max(interval, 2 * state.path.rtt);
  if (state.unansweredAt !== undefined) return state.unansweredAt + SILENCE_BEFORE_PING;
  if (keepalive !== undefined && !isActiveAt(state, state.heardAt + HEARTBEAT_INTERVAL)) return state.heardAt + keepalive;
  // Counted from the last PING, too: where PONGs get lost and traffic does not, this is no reason for a flood.
  const measureAt = Math.max(state.path.measuredAt, state.askedAt) + MEASURE_INTERVAL;
  const askAt = Math.min(state.heardAt + HEARTBEAT_INTERVAL, measureAt);
  return isActiveAt(state, askAt) ? askAt : dormantAt(state);
}

export function dormantAt({ heardAt, activeAt }: PathInUse): Millis {
  return Math.max(heardAt + PROVEN_FOR, activeAt + ACTIVE_FOR);
}

function isActiveAt({ activeAt }: PathInUse, at: Millis): boolean {
  return at < activeAt + ACTIVE_FOR;
}

export function searchWakeAt(search: Search | undefined): Millis | undefined {
  if (search === undefined) return undefined;
  return search.name === "waiting" ? search.retryAt : roundWakeAt(search.round);
}

export function roundWakeAt(round: Round): Millis {
  return Math.min(stepAt(round.kind, round) ?? Number.POSITIVE_INFINITY, roundEndsAt(round));
}

export function roundEndsAt({ kind, sinceAt }: Round): Millis {
  const lasts = { asking: ASKING_FOR, opening: OPENING_FOR, glancing: ROUND_FOR, knocking: ROUND_FOR, punching: ROUND_FOR };
  return sinceAt + lasts[kind];
}

function stepAt(kind: Round["kind"], { sinceAt, step }: { readonly sinceAt: Millis; readonly step: number }): Millis | undefined {
  const after = SCHEDULES[kind][step];
  return after === undefined ? undefined : sinceAt + after;
}

/** The first step still to come: a stall must not make up for those it missed, all at once. */
export function stepAfter(kind: Round["kind"], sinceAt: Millis, now: Millis): number {
  const step = SCHEDULES[kind].findIndex((after) => sinceAt + after > now);
  return step === -1 ? SCHEDULES[kind].length : step;
}
