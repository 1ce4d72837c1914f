import { flag, list, number, oneOf, openObject, optional, type Shape, text } from "../config/shape.ts";
import { type MappingView, mappingShape } from "./netcheck-view.ts";
import { type MemberRole, memberRoleShape, type PeerState, peerStateShape, version1 } from "./views.ts";

/**
 * Why packets to a node go the way they go: whose the prefix is and by which word, the path, every candidate and what became of
 * it, and what is known of both sides. Instants are wall milliseconds since 1970; durations are milliseconds.
 */
export interface WhyView {
  readonly version: 1;
  /** As it was asked for. */
  readonly target: string;
  readonly owner: OwnerView;
  readonly path: WhyPathView;
  /** The one in use first, then by what is known of them. */
  readonly candidates: readonly CandidateView[];
  readonly here: HereView;
  /** What the node's own record says; absent: there is none. */
  readonly there?: ThereView;
}

export interface OwnerView {
  readonly name: string;
  readonly id: string;
  readonly number: number;
  readonly role: MemberRole;
  readonly address4: string;
  readonly address6: string;
  /** Its prefixes that hold the target; where that is a name or an id, all of them. */
  readonly prefixes: readonly string[];
  /** False: another node holds the number, and nothing is routed to this one. */
  readonly routed: boolean;
  readonly certificate: CertificateView;
}

/** The word by which the node has its number. */
export interface CertificateView {
  /** Name of the admin; absent where the network's root key signed. */
  readonly issuer?: string;
  readonly issuerId: string;
  readonly serial: number;
  /** Rises each time the number goes to another node. */
  readonly generation: number;
  readonly assignedAt: number;
}

export interface WhyPathView {
  /** What proven path packets take now, or would take next. */
  readonly kind: "direct" | "relay" | "none";
  readonly state: PeerState;
  /** `direct 198.51.100.2:51820`, `relayed by office`, or what there is instead, as in PeerView. */
  readonly text: string;
  readonly reason: string;
  /** What a person can do about it, where there is something. */
  readonly hint?: string;
  readonly rttMs?: number;
  /** When `rttMs` was measured. */
  readonly rttAt?: number;
}

/**
 * `in-use`: packets go by it. `answered`: it would do. `unanswered`: asked, and no answer since. `untried` and `refused`: never
 * asked, for now or for good; `reason` says why.
 */
export type CandidateFate = "in-use" | "answered" | "unanswered" | "untried" | "refused";

/**
 * Where a candidate is known from. Of an endpoint: the node's record, an offer it made when it looked for us, packets of its own, or
 * an `earlier` word of it. Of a relay: the node's homes, ours, or a member that relays for everybody.
 */
export type CandidateOrigin = "published" | "offered" | "heard" | "earlier" | "its-home" | "own-home" | "open";

/** One way to reach the node: at an endpoint, or by a member that relays. Exactly one of `endpoint` and `relay` is there. */
export interface CandidateView {
  readonly endpoint?: string;
  /** Name of the member. */
  readonly relay?: string;
  readonly origin: CandidateOrigin;
  readonly fate: CandidateFate;
  readonly reason?: string;
  readonly askedAt?: number;
  readonly answeredAt?: number;
  /** Of the last answer. */
  readonly rttMs?: number;
}

export interface HereView {
  readonly mapping: MappingView;
  /** Others have reached this node unasked. */
  readonly reachable: boolean;
  /** Names of its home relays, the one in use first. */
  readonly homes: readonly string[];
}

export interface ThereView {
  readonly reachable: boolean;
  /** It relays for members that it can reach. */
  readonly relays: boolean;
  readonly homes: readonly string[];
  /** It said goodbye. */
  readonly stopped: boolean;
}

const candidateShape: Shape<CandidateView> = openObject({
  endpoint: optional(text),
  relay: optional(text),
  origin: oneOf("published", "offered", "heard", "earlier", "its-home", "own-home", "open"),
  fate: oneOf("in-use", "answered", "unanswered", "untried", "refused"),
  reason: optional(text),
  askedAt: optional(number),
  answeredAt: optional(number),
  rttMs: optional(number),
});

export const whyShape: Shape<WhyView> = openObject({
  version: version1,
  target: text,
  owner: openObject({
    name: text,
    id: text,
    number,
    role: memberRoleShape,
    address4: text,
    address6: text,
    prefixes: list(text),
    routed: flag,
    certificate: openObject({ issuer: optional(text), issuerId: text, serial: number, generation: number, assignedAt: number }),
  }),
  path: openObject({
    kind: oneOf("direct", "relay", "none"),
    state: peerStateShape,
    text,
    reason: text,
    hint: optional(text),
    rttMs: optional(number),
    rttAt: optional(number),
  }),
  candidates: list(candidateShape),
  here: openObject({ mapping: mappingShape, reachable: flag, homes: list(text) }),
  there: optional(openObject({ reachable: flag, relays: flag, homes: list(text), stopped: flag })),
});
