import type { Way } from "../address/way.ts";
import type { DecodeFault } from "../bytes/decoded.ts";
import type { Millis } from "../time/millis.ts";

/** The engine's number for a peer; see ports/datapath.ts, which may not be imported from here. */
export type SessionSlot = number;

/** What happened, as far as WireGuard sessions are concerned. */
export type SessionEvent =
  | { readonly type: "peer-added"; readonly slot: SessionSlot; readonly tunnelKey: Uint8Array; readonly presharedKey?: Uint8Array }
  | { readonly type: "peer-removed"; readonly slot: SessionSlot }
  /** A packet waits for the peer. Asking again while a handshake is under way changes nothing. */
  | { readonly type: "session-wanted"; readonly slot: SessionSlot }
  /** The peer started again and cannot open what we seal: a handshake now, however short ago the last one was. */
  | { readonly type: "session-lost"; readonly slot: SessionSlot }
  /** A way to the peer is proven: the initiation under way, which may be lost, is repeated at that instant, not after REKEY_TIMEOUT. */
  | { readonly type: "path-proven"; readonly slot: SessionSlot; readonly repeatAt: Millis }
  /** A datagram whose first word is a WireGuard type 1, 2 or 3. Not yet authenticated in any way. */
  | { readonly type: "message"; readonly from: Way; readonly bytes: Uint8Array }
  /** The engine opened the first packet of a responder's session. */
  | { readonly type: "session-confirmed"; readonly slot: SessionSlot; readonly localIndex: number }
  /** The engine's stamps for a peer with traffic, about twice a second. */
  | { readonly type: "traffic"; readonly slot: SessionSlot; readonly stamps: TrafficStamps }
  | { readonly type: "wall-clock"; readonly offset: Millis }
  /** What `reserve-stamps` asked for is durable: after a restart it will be `stampFloor`. */
  | { readonly type: "stamps-reserved"; readonly until: Millis }
  /** A wake-up time came. */
  | { readonly type: "timer" };

/** Boot-time instants; 0 when it never happened. Same meaning as PeerTraffic of the engine. */
export interface TrafficStamps {
  readonly dataSentAt: Millis;
  readonly dataReceivedAt: Millis;
  readonly authenticatedSentAt: Millis;
  readonly authenticatedReceivedAt: Millis;
  readonly sendCounter: number;
}

/** What is to be done, in order. */
export type SessionEffect =
  /** Send to wherever the peer is believed to be: the caller knows the paths. */
  | { readonly type: "send-handshake"; readonly slot: SessionSlot; readonly bytes: Uint8Array }
  /** Send back by the way a message came. */
  | { readonly type: "reply"; readonly slot: SessionSlot; readonly to: Way; readonly bytes: Uint8Array }
  | { readonly type: "install-session"; readonly session: SessionKeys }
  | { readonly type: "drop-session"; readonly localIndex: number }
  | { readonly type: "send-keepalive"; readonly slot: SessionSlot }
  /** An authentic handshake message of the peer came by this way. */
  | { readonly type: "heard"; readonly slot: SessionSlot; readonly from: Way }
  /**
   * Make this wall-clock instant durable, then say `stamps-reserved`. Until then initiations may have to wait. Asked once
   * until it is said; a later one is always higher.
   */
  | { readonly type: "reserve-stamps"; readonly until: Millis }
  /** No answer for REKEY_ATTEMPT_TIME: the attempt is given up until a session is wanted again. */
  | { readonly type: "handshake-failed"; readonly slot: SessionSlot }
  /** A message changed nothing; count it under this name. */
  | { readonly type: "dropped"; readonly cause: SessionDrop };

/** Keys of one session; assignable to DatapathSession. */
export interface SessionKeys {
  readonly slot: SessionSlot;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly sendKey: Uint8Array; // 32 B
  readonly receiveKey: Uint8Array; // 32 B
  readonly role: "initiator" | "responder";
  readonly expiresAt: Millis;
}

export type SessionDrop =
  | DecodeFault
  | "mac1-mismatch"
  | "not-authentic" // a tag did not fit
  | "unknown-peer" // an initiation whose static key is no peer's
  | "unknown-index" // a response or a cookie to no handshake of ours
  | "replayed" // a timestamp not above the last one of that peer; a second cookie for one message
  | "too-fast"; // initiations of one peer closer than 1/50 s
