import type { Endpoint } from "../address/endpoint.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { Candidate } from "../path/candidate.ts";
import { NEW_PATH, type PeerPath } from "../path/path-state.ts";
import type { BootId } from "../path/probe-exchange.ts";
import type { PeerSlot } from "../ports/datapath.ts";
import type { TrafficStamps } from "../session/session-event.ts";
import type { Millis } from "../time/millis.ts";
import { TokenBucket } from "../time/token-bucket.ts";
import type { Mapping } from "../wire/probe.ts";
import { CandidateLog } from "./candidate-log.ts";
import { DroppingRelays } from "./dropping-relays.ts";
import type { Sighting } from "./observed-endpoints.ts";

/** PINGs for one peer: a probing round over all its candidates goes through at once, a flood of claims does not. */
const PEER_PROBES = { burst: 100, perSecond: 20 };
/** Offers of one peer that are answered: each makes us send a round of PINGs where it says. */
const PEER_OFFERS = { burst: 6, perSecond: 0.5 };
/** Steps of a peer's searches with further sockets, and its questions where others are: a dozen for a search that goes well. */
const PEER_PUNCHES = { burst: 40, perSecond: 4 };

/** One peer, for as long as it is a member. */
export interface Peer {
  readonly node: NodeId;
  path: PeerPath;
  readonly candidates: CandidateLog;
  /** What the path said last that packets go by. */
  used: readonly Candidate[];
  /** Its home relays. */
  homes: readonly NodeId[];
  /** By its last offer. */
  mapping: Mapping;
  /** It offers to relay. */
  isRelay: boolean;
  /** Of the relays between us. */
  readonly dropping: DroppingRelays;
  /** A handshake message that found no path; it leaves when there is one. Only the latest is worth sending. */
  heldHandshake: Uint8Array | undefined;
  handshake: SentHandshake;
  /** Of its last PONG. */
  boot: BootId | undefined;
  unansweredAt: Millis | undefined;
  /** When the last of its packets came that was authentic, as far as the engine's stamps were read. */
  heardInTunnelAt: Millis;
  /** PINGs to it and to whatever is said to be it. */
  readonly probeBudget: TokenBucket;
  readonly offerBudget: TokenBucket;
  readonly punchBudget: TokenBucket;
}

export function newPeer(node: NodeId): Peer {
  return {
    node,
    path: NEW_PATH,
    candidates: new CandidateLog(),
    used: [],
    homes: [],
    mapping: "unknown",
    isRelay: false,
    dropping: new DroppingRelays(),
    heldHandshake: undefined,
    handshake: { bytes: new Uint8Array(), by: [], sentAt: 0, repeatedBy: new Set() },
    boot: undefined,
    unansweredAt: undefined,
    heardInTunnelAt: Number.NEGATIVE_INFINITY,
    probeBudget: new TokenBucket(PEER_PROBES),
    offerBudget: new TokenBucket(PEER_OFFERS),
    punchBudget: new TokenBucket(PEER_PUNCHES),
  };
}

/** The handshake message that left last. */
export interface SentHandshake {
  readonly bytes: Uint8Array;
  readonly by: readonly Candidate[];
  readonly sentAt: Millis;
  /** Relays that did not pass it on, and got it again. */
  readonly repeatedBy: Set<NodeId>;
}

/** What is known of one peer, for views and decisions. */
export interface KnownPeer {
  readonly slot: PeerSlot;
  readonly path: PeerPath;
  readonly candidates: CandidateLog;
  /** When the keys of the session in use were made; undefined: there is none. */
  readonly sessionAt: Millis | undefined;
  /** Packets went out by the tunnel since then, and none came in: by probes the peer may seem well. */
  readonly unansweredAt: Millis | undefined;
}

/** A peer answered a PING: told to whoever waits for it, beside what it does to the path. */
export interface Pong {
  readonly node: NodeId;
  readonly candidate: Candidate;
  readonly rtt: Millis;
}

/** How this node can be reached from outside its own network. */
export interface OuterPlace {
  /** Where peers see it, beside its own addresses. */
  readonly reflexive: readonly Endpoint[];
  readonly isReachable: boolean;
  readonly homes: readonly NodeId[];
}

/** What this node knows of the network around it, for people. */
export interface Surroundings {
  readonly mapping: Mapping;
  /** Where peers see this node. */
  readonly sightings: readonly Sighting[];
  readonly isReachable: boolean;
  /** Home relays, the one in use first, and how often each hears from us at least. */
  readonly homes: readonly { readonly node: NodeId; readonly every: Millis | undefined }[];
}

/** What a peer says of where it is, as far as it may be used. */
export interface PublishedPlace {
  /** At its host's addresses. */
  readonly own: readonly Endpoint[];
  /** As others see it. */
  readonly reflexive: readonly Endpoint[];
  readonly isReachable: boolean;
  readonly isRelay: boolean;
  readonly homes: readonly NodeId[];
  /** We are one of its homes. */
  readonly isKept: boolean;
  /** Where it takes TLS WebSocket, if it does. */
  readonly tcpRelays?: readonly Endpoint[];
}

/** Handshakes do not count: they pass where packets of full size may not. */
export function unansweredAt(before: Millis | undefined, stamps: TrafficStamps): Millis | undefined {
  const { dataSentAt, authenticatedReceivedAt } = stamps;
  if (before !== undefined && authenticatedReceivedAt < before) return before;
  return dataSentAt > authenticatedReceivedAt ? dataSentAt : undefined;
}

/** No straight path is left, or none was found: any member that relays is welcome. */
export function isInNeed({ state }: PeerPath): boolean {
  if (state.name === "probing") return state.failures > 0;
  return state.name === "suspect" || state.name === "failed" || state.name === "relayed";
}
