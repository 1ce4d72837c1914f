import type { Endpoint } from "../address/endpoint.ts";
import { compareBytes, equalBytes } from "../bytes/bytes.ts";
import { formatHex } from "../bytes/hex.ts";
import type { AgreementKey, Crypto, Random } from "../crypto/crypto.ts";
import { randomBelow, randomU32 } from "../crypto/random.ts";
import type { Millis } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import { decodeHandshakeMessage, type HandshakeInitiation, type HandshakeResponse } from "../wire/handshake-message.ts";
import {
  CONFIRMATION_TIMEOUT,
  INITIATION_INTERVAL,
  REKEY_AFTER_MESSAGES,
  REKEY_AFTER_TIME,
  REKEY_AFTER_TIME_RECEIVING,
  REKEY_ATTEMPT_TIME,
  REKEY_TIMEOUT,
  REKEY_TIMEOUT_JITTER,
} from "./constants.ts";
import {
  createInitiation,
  createResponse,
  type HandshakeIdentity,
  hasMac1,
  type ReadInitiation,
  readInitiation,
  readResponse,
  type TransportKeys,
  verifyInitiation,
} from "./handshake.ts";
import { clearSilent, type Liveness, recordHeard, recordSent, recordTraffic, UNHEARD } from "./liveness.ts";
import type { NoiseInitiator } from "./noise-ikpsk2.ts";
import type { SessionDrop, SessionEffect, SessionEvent, SessionSlot, TrafficStamps } from "./session-event.ts";
import {
  expiresAt,
  type Rotated,
  rotateConfirmed,
  rotateExpired,
  rotateInitiated,
  rotateResponded,
  type Session,
  type SessionRotation,
  sessionsOf,
} from "./session-rotation.ts";
import { nextTai64n } from "./tai64n.ts";
import { WakeQueue } from "./wake-queue.ts";

/** What a status view shows of one peer. */
export interface SessionView {
  /** A session can seal packets to the peer. */
  readonly established: boolean;
  /** The last handshake that led to a session, even if that session is gone. */
  readonly establishedAt?: Millis;
  /** Initiations sent in the handshake under way; 0 when none is. */
  readonly attempts: number;
}

export interface SessionTableOptions {
  readonly crypto: Crypto;
  readonly random: Random;
  readonly key: AgreementKey;
}

// One peer's handshake, as initiator. The part as responder has no state: it starts and ends within one message.
//
//             wanted,       response    session-     due: REKEY_TIMEOUT    due: REKEY_     peer
//             rekey due     of peer     confirmed    since the last one    ATTEMPT_TIME    removed
//  idle       → initiated   dropped     —            —                     —               —
//  initiated  —             → idle      → idle       initiate again        → idle, failed  → idle
//
// A message from the network runs through the numbered steps of handshake.ts; until its last tag fits, nothing here
// changes. Keys leave in `install-session` and are not kept: the engine wipes them, at `drop-session` at the latest.
// WireGuard's rule to zero all keys after 540 s has nothing left to do, since every session is dropped at 180 s and
// every handshake given up at 90 s.

/** WireGuard sessions of all peers. Deterministic; a wake-up that comes late or for nothing does no harm. */
export class SessionTable {
  readonly #us: HandshakeIdentity;
  readonly #peers = new Map<SessionSlot, Peer>();
  readonly #peersByKey = new Map<string, Peer>();
  /** Whose every index of ours is: of sessions, and of the initiation under way. */
  readonly #peersByIndex = new Map<number, Peer>();
  readonly #wakes = new WakeQueue<Peer>();
  /** Wall time less boot time. Until the first `wall-clock`, initiations are stamped with 1970 and peers may refuse them. */
  #wallOffset: Millis = 0;

  constructor(options: SessionTableOptions) {
    this.#us = options;
  }

  handle(event: SessionEvent, now: Millis): readonly SessionEffect[] {
    const effects: SessionEffect[] = [];
    switch (event.type) {
      case "peer-added":
        this.#add(event, effects);
        break;
      case "peer-removed":
        this.#remove(this.#peers.get(event.slot), effects);
        break;
      case "session-wanted":
        this.#with(event.slot, (peer) => this.#initiate(peer, now, effects));
        break;
      case "session-lost":
        this.#with(event.slot, (peer) => {
          delete peer.initiatedAt;
          this.#initiate(peer, now, effects);
        });
        break;
      case "message":
        this.#receive(event, now, effects);
        break;
      case "session-confirmed":
        this.#with(event.slot, (peer) => this.#confirm(peer, { localIndex: event.localIndex, now }, effects));
        break;
      case "traffic":
        this.#with(event.slot, (peer) => this.#trace(peer, { stamps: event.stamps, now }, effects));
        break;
      case "wall-clock":
        this.#wallOffset = event.offset;
        break;
      case "timer":
        for (let peer = this.#wakes.takeDue(now); peer !== undefined; peer = this.#wakes.takeDue(now)) {
          this.#expire(peer, now, effects);
          this.#schedule(peer);
        }
        break;
    }
    return effects;
  }

  /** When a `timer` event is next needed, or a little earlier; undefined: not before something else happens. */
  wakeAt(): Millis | undefined {
    return this.#wakes.nextAt();
  }

  /** undefined for a slot without a peer. */
  view(slot: SessionSlot): SessionView | undefined {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return undefined;
    return {
      established: peer.rotation.current !== undefined,
      ...(peer.establishedAt !== undefined && { establishedAt: peer.establishedAt }),
      attempts: peer.attempt?.count ?? 0,
    };
  }

  #with(slot: SessionSlot, act: (peer: Peer) => void): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    act(peer);
    this.#schedule(peer);
  }

  #schedule(peer: Peer): void {
    const sessions = sessionsOf(peer.rotation).map(expiresAt);
    const { silentAt, keepaliveAt } = peer.liveness;
    this.#wakes.schedule(peer, earliest(peer.attempt?.retryAt, silentAt, keepaliveAt, ...sessions));
  }

  #add(peer: { slot: SessionSlot; tunnelKey: Uint8Array; presharedKey?: Uint8Array }, effects: SessionEffect[]): void {
    const presharedKey = peer.presharedKey ?? NO_PRESHARED_KEY;
    const known = this.#peers.get(peer.slot);
    if (known !== undefined && equalBytes(known.tunnelKey, peer.tunnelKey)) {
      if (this.#us.crypto.equalSecret(known.presharedKey, presharedKey)) return;
    }
    const keyHex = formatHex(peer.tunnelKey);
    this.#remove(known, effects);
    this.#remove(this.#peersByKey.get(keyHex), effects);
    const added: Peer = {
      slot: peer.slot,
      keyHex,
      tunnelKey: peer.tunnelKey,
      presharedKey,
      rotation: {},
      liveness: UNHEARD,
    };
    this.#peers.set(added.slot, added);
    this.#peersByKey.set(keyHex, added);
  }

  #remove(peer: Peer | undefined, effects: SessionEffect[]): void {
    if (peer === undefined) return;
    this.#endAttempt(peer);
    this.#turn(peer, { rotation: {}, dropped: sessionsOf(peer.rotation) }, effects);
    this.#peers.delete(peer.slot);
    this.#peersByKey.delete(peer.keyHex);
    this.#wakes.remove(peer);
  }

  // --- as initiator

  /** Starts a handshake unless one is under way, was started less than REKEY_TIMEOUT ago, or the peer's is about to end. */
  #initiate(peer: Peer, now: Millis, effects: SessionEffect[]): void {
    if (peer.attempt !== undefined) return;
    if (peer.initiatedAt !== undefined && now - peer.initiatedAt < REKEY_TIMEOUT) return;
    if (peer.rotation.next !== undefined && now - peer.rotation.next.createdAt < CONFIRMATION_TIMEOUT) return;
    this.#sendInitiation(peer, { now, startedAt: now, count: 1 }, effects);
  }

  #retry(peer: Peer, attempt: Attempt, options: { readonly now: Millis; readonly effects: SessionEffect[] }): void {
    const { now, effects } = options;
    this.#endAttempt(peer);
    if (now < attempt.startedAt + REKEY_ATTEMPT_TIME) {
      this.#sendInitiation(peer, { now, startedAt: attempt.startedAt, count: attempt.count + 1 }, effects);
    } else {
      effects.push({ type: "handshake-failed", slot: peer.slot });
    }
  }

  #sendInitiation(peer: Peer, attempt: { now: Millis; startedAt: Millis; count: number }, effects: SessionEffect[]): void {
    const { now, startedAt, count } = attempt;
    const localIndex = this.#freeIndex();
    const timestamp = nextTai64n(peer.sentTimestamp, now + this.#wallOffset);
    const created = createInitiation(this.#us, peer, { senderIndex: localIndex, timestamp });
    if (created === undefined) {
      effects.push({ type: "handshake-failed", slot: peer.slot });
      return;
    }
    const retryAt = now + REKEY_TIMEOUT + randomBelow(this.#us.random, REKEY_TIMEOUT_JITTER + 1);
    peer.attempt = { localIndex, noise: created.noise, startedAt, count, retryAt: Math.min(retryAt, startedAt + REKEY_ATTEMPT_TIME) };
    peer.sentTimestamp = timestamp;
    peer.initiatedAt = now;
    peer.liveness = recordSent(peer.liveness, now);
    this.#peersByIndex.set(localIndex, peer);
    effects.push({ type: "send-handshake", slot: peer.slot, bytes: created.bytes });
  }

  /** Forgets the initiation under way and its ephemeral secrets; a response to it finds nobody. */
  #endAttempt(peer: Peer): void {
    if (peer.attempt === undefined) return;
    peer.attempt.noise.wipe();
    this.#peersByIndex.delete(peer.attempt.localIndex);
    delete peer.attempt;
  }

  #finish(message: HandshakeResponse, arrival: Arrival, effects: SessionEffect[]): SessionDrop | undefined {
    const { from, now } = arrival;
    const peer = this.#peersByIndex.get(message.receiverIndex);
    const attempt = peer?.attempt;
    if (peer === undefined || attempt?.localIndex !== message.receiverIndex) return "unknown-index";
    const keys = readResponse(attempt.noise, message, peer);
    if (keys === undefined) return "not-authentic";

    this.#endAttempt(peer);
    peer.establishedAt = now;
    peer.liveness = recordSent(recordHeard(peer.liveness, now), now);
    effects.push({ type: "heard", slot: peer.slot, from });
    const session: Session = { localIndex: attempt.localIndex, role: "initiator", createdAt: now };
    this.#install(peer, { session, rotated: rotateInitiated(peer.rotation, session), remoteIndex: message.senderIndex, keys }, effects);
    effects.push({ type: "send-keepalive", slot: peer.slot });
    this.#schedule(peer);
    return undefined;
  }

  // --- as responder

  #answer(message: HandshakeInitiation, arrival: Arrival, effects: SessionEffect[]): SessionDrop | undefined {
    const read = readInitiation(this.#us, message);
    if (read === undefined) return "not-authentic";
    try {
      return this.#answerRead(message, { ...arrival, read }, effects);
    } finally {
      read.noise.wipe();
    }
  }

  #answerRead(
    message: HandshakeInitiation,
    arrival: Arrival & { read: ReadInitiation },
    effects: SessionEffect[],
  ): SessionDrop | undefined {
    const { from, now, read } = arrival;
    const peer = this.#peersByKey.get(formatHex(read.tunnelKey));
    if (peer === undefined) return "unknown-peer";
    const timestamp = verifyInitiation(read, message);
    if (timestamp === undefined) return "not-authentic";
    if (peer.heardTimestamp !== undefined && compareBytes(timestamp, peer.heardTimestamp) <= 0) return "replayed";
    if (peer.answeredAt !== undefined && now - peer.answeredAt < INITIATION_INTERVAL) return "too-fast";
    const localIndex = this.#freeIndex();
    const response = createResponse(this.#us, peer, { initiation: message, noise: read.noise, senderIndex: localIndex });
    if (response === undefined) return "not-authentic";

    peer.heardTimestamp = timestamp;
    peer.answeredAt = now;
    peer.liveness = recordSent(recordHeard(peer.liveness, now), now);
    effects.push({ type: "heard", slot: peer.slot, from });
    const session: Session = { localIndex, role: "responder", createdAt: now };
    this.#install(
      peer,
      { session, rotated: rotateResponded(peer.rotation, session), remoteIndex: message.senderIndex, keys: response.keys },
      effects,
    );
    effects.push({ type: "reply", slot: peer.slot, to: from, bytes: response.bytes });
    this.#schedule(peer);
    return undefined;
  }

  /** The initiator has the keys: its session is current, and a handshake of our own has become needless. */
  #confirm(peer: Peer, confirmed: { readonly localIndex: number; readonly now: Millis }, effects: SessionEffect[]): void {
    const rotated = rotateConfirmed(peer.rotation, confirmed.localIndex);
    if (rotated === undefined) return;
    this.#endAttempt(peer);
    peer.establishedAt = confirmed.now;
    peer.liveness = recordHeard(peer.liveness, confirmed.now);
    this.#turn(peer, rotated, effects);
  }

  // --- both

  #receive(event: { readonly bytes: Uint8Array; readonly from: Endpoint }, now: Millis, effects: SessionEffect[]): void {
    const cause = this.#consume(event.bytes, { from: event.from, now }, effects);
    if (cause !== undefined) effects.push({ type: "dropped", cause });
  }

  /** Why the message changed nothing; undefined when it was consumed. */
  #consume(bytes: Uint8Array, arrival: Arrival, effects: SessionEffect[]): SessionDrop | undefined {
    const decoded = decodeHandshakeMessage(bytes);
    if (!decoded.ok) return decoded.fault;
    const message = decoded.value;
    if (message.type === "cookie-reply") return "cookie-unsupported";
    if (!hasMac1(this.#us, bytes, message.mac1)) return "mac1-mismatch";
    return message.type === "initiation" ? this.#answer(message, arrival, effects) : this.#finish(message, arrival, effects);
  }

  #trace(peer: Peer, traffic: { readonly stamps: TrafficStamps; readonly now: Millis }, effects: SessionEffect[]): void {
    const { stamps, now } = traffic;
    peer.liveness = recordTraffic(peer.liveness, stamps);
    if (isWornOut(peer.rotation, stamps)) this.#initiate(peer, now, effects);
  }

  #expire(peer: Peer, now: Millis, effects: SessionEffect[]): void {
    this.#turn(peer, rotateExpired(peer.rotation, now), effects);
    if (peer.liveness.keepaliveAt !== undefined && now >= peer.liveness.keepaliveAt) {
      peer.liveness = recordSent(peer.liveness, now);
      effects.push({ type: "send-keepalive", slot: peer.slot });
    }
    if (peer.liveness.silentAt !== undefined && now >= peer.liveness.silentAt) {
      peer.liveness = clearSilent(peer.liveness);
      this.#initiate(peer, now, effects);
    }
    if (peer.attempt !== undefined && now >= peer.attempt.retryAt) this.#retry(peer, peer.attempt, { now, effects });
  }

  #install(
    peer: Peer,
    made: { readonly session: Session; readonly rotated: Rotated; readonly remoteIndex: number; readonly keys: TransportKeys },
    effects: SessionEffect[],
  ): void {
    const { localIndex, role } = made.session;
    this.#peersByIndex.set(localIndex, peer);
    this.#turn(peer, made.rotated, effects);
    effects.push({
      type: "install-session",
      session: { slot: peer.slot, localIndex, remoteIndex: made.remoteIndex, role, ...made.keys, expiresAt: expiresAt(made.session) },
    });
  }

  #turn(peer: Peer, { rotation, dropped }: Rotated, effects: SessionEffect[]): void {
    peer.rotation = rotation;
    for (const { localIndex } of dropped) {
      this.#peersByIndex.delete(localIndex);
      effects.push({ type: "drop-session", localIndex });
    }
  }

  /** Random, so that it tells nothing and a guess hits no session. */
  #freeIndex(): number {
    for (;;) {
      const index = randomU32(this.#us.random);
      if (!this.#peersByIndex.has(index)) return index;
    }
  }
}

interface Arrival {
  readonly from: Endpoint;
  readonly now: Millis;
}

interface Peer {
  readonly slot: SessionSlot;
  readonly keyHex: string;
  readonly tunnelKey: Uint8Array; // 32 B
  readonly presharedKey: Uint8Array; // 32 B
  rotation: SessionRotation;
  liveness: Liveness;
  establishedAt?: Millis;
  /** The handshake we initiated and the peer has not answered. */
  attempt?: Attempt;
  initiatedAt?: Millis;
  /** Of our last initiation; the next one is later, whatever the wall clock does. */
  sentTimestamp?: Uint8Array;
  answeredAt?: Millis;
  /** Of the peer's last initiation that we answered. */
  heardTimestamp?: Uint8Array;
}

interface Attempt {
  readonly localIndex: number;
  readonly noise: NoiseInitiator;
  readonly startedAt: Millis;
  readonly count: number;
  readonly retryAt: Millis;
}

const NO_PRESHARED_KEY = new Uint8Array(32);

/**
 * Whether it is on us to replace the current session: on its initiator, so that not both do. When both initiated at
 * once, each end may have ended up with the other's session as current; then it is on both, or nobody would do it.
 */
function isWornOut({ current, previous }: SessionRotation, stamps: TrafficStamps): boolean {
  if (current === undefined) return false;
  if (stamps.sendCounter >= REKEY_AFTER_MESSAGES) return true;
  const isCrossed = previous?.role === "initiator" && current.createdAt - previous.createdAt < REKEY_TIMEOUT;
  if (current.role !== "initiator" && !isCrossed) return false;
  return (
    stamps.dataSentAt >= current.createdAt + REKEY_AFTER_TIME ||
    stamps.authenticatedReceivedAt >= current.createdAt + REKEY_AFTER_TIME_RECEIVING
  );
}
