import type { Millis } from "../time/millis.ts";
import { REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME, REKEY_AFTER_TIME_RECEIVING, REKEY_TIMEOUT } from "./constants.ts";
import type { Liveness } from "./liveness.ts";
import type { NoiseInitiator } from "./noise-ikpsk2.ts";
import type { PeerCookie } from "./peer-cookie.ts";
import type { SessionSlot, TrafficStamps } from "./session-event.ts";
import type { SessionRotation } from "./session-rotation.ts";

/** What the session table keeps of one peer. */
export interface SessionPeer {
  readonly slot: SessionSlot;
  readonly keyHex: string;
  readonly tunnelKey: Uint8Array; // 32 B
  readonly presharedKey: Uint8Array; // 32 B, ours: wiped when the peer goes
  readonly cookie: PeerCookie;
  rotation: SessionRotation;
  liveness: Liveness;
  establishedAt?: Millis;
  /** The handshake we initiated and the peer has not answered. */
  attempt?: Attempt;
  /** An initiation that waits for a reservation of stamps. */
  held?: { readonly startedAt: Millis; readonly count: number };
  initiatedAt?: Millis;
  /** Of our last initiation; the next one is later, whatever the wall clock does. */
  sentTimestamp?: Uint8Array;
  /** Our last response. */
  answer?: SentMessage & { readonly at: Millis };
  /** Of the peer's last initiation that we answered. */
  heardTimestamp?: Uint8Array;
}

/** A message of ours that a cookie reply may answer. */
export interface SentMessage {
  readonly localIndex: number;
  /** Until a cookie reply was taken for it: one is enough, and all others are repetitions. */
  mac1: Uint8Array | undefined;
}

export interface Attempt extends SentMessage {
  readonly noise: NoiseInitiator;
  readonly startedAt: Millis;
  readonly count: number;
  readonly retryAt: Millis;
}

/**
 * Whether it is on us to replace the current session: on its initiator, so that not both do. When both initiated at
 * once, each end may have ended up with the other's session as current; then it is on both, or nobody would do it.
 * Keepalives count as sent, as with stock peers.
 */
export function isWornOut({ current, previous }: SessionRotation, stamps: TrafficStamps): boolean {
  if (current === undefined) return false;
  if (stamps.sendCounter >= REKEY_AFTER_MESSAGES) return true;
  const isCrossed = previous?.role === "initiator" && current.createdAt - previous.createdAt < REKEY_TIMEOUT;
  if (current.role !== "initiator" && !isCrossed) return false;
  return (
    stamps.authenticatedSentAt >= current.createdAt + REKEY_AFTER_TIME ||
    stamps.authenticatedReceivedAt >= current.createdAt + REKEY_AFTER_TIME_RECEIVING
  );
}
