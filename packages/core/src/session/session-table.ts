import type { Way } from "../address/way.ts";
import { compareBytes, equalBytes } from "../bytes/bytes.ts";
import { formatHex } from "../bytes/hex.ts";
import type { AgreementKey, Crypto, Random } from "../crypto/crypto.ts";
import { randomBelow, randomU32 } from "../crypto/random.ts";
import type { Millis } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import { WakeQueue } from "../time/wake-queue.ts";
import {
  type CookieReply,
  decodeHandshakeMessage,
  type HandshakeInitiation,
  type HandshakeResponse,
  mac1Of,
} from "../wire/handshake-message.ts";
import {
  CONFIRMATION_TIMEOUT,
  EARLY_REPEAT_INTERVAL,
  INITIATION_INTERVAL,
  MOST_INITIATIONS,
  REKEY_ATTEMPT_TIME,
  REKEY_TIMEOUT,
  REKEY_TIMEOUT_JITTER,
} from "./constants.ts";
import {
  createInitiation,
  createResponse,
  type HandshakeIdentity,
  type ReadInitiation,
  readInitiation,
  readResponse,
  type TransportKeys,
  verifyInitiation,
} from "./handshake.ts";
import { clearSilent, recordHeard, recordSent, recordTraffic, UNHEARD } from "./liveness.ts";
import { hasMac1, mac1Key } from "./macs.ts";
import { PeerCookie } from "./peer-cookie.ts";
import type { SessionDrop, SessionEffect, SessionEvent, SessionSlot, TrafficStamps } from "./session-event.ts";
import { type Attempt, isWornOut, type SessionPeer } from "./session-peer.ts";
import {
  expiresAt,
  type Rotated,
  rotateConfirmed,
  rotateExpired,
  rotateInitiated,
  rotateResponded,
  type Session,
  sessionsOf,
} from "./session-rotation.ts";
import { StampClock } from "./stamp-clock.ts";

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
  /**
   * The last ceiling of stamps that became durable, as wall time; 0 when there was none. Stamps are then above it, and above
   * what was reserved since they never are: see `reserve-stamps`. Without it they rise only as long as this table lives.
   */
  readonly stampFloor?: Millis;
}

// One peer's handshake, as initiator. The part as responder has no state: it starts and ends within one message.
//
//             wanted,       response    session-     due: REKEY_TIMEOUT    due: REKEY_     peer
//             rekey due     of peer     confirmed    since the last one    ATTEMPT_TIME    removed
//  idle       → initiated   dropped     —            —                     —               —
//  initiated  —             → idle      → idle       initiate again        → idle, failed  → idle   path-proven: again soon
//  held       held          dropped     → idle       —                     —               → idle
//
// Held: no stamp is left before a reservation is durable (stamp-clock.ts); `stamps-reserved` initiates.
//
// A message from the network runs through the numbered steps of handshake.ts; until its last tag fits, nothing here
// changes. Keys leave in `install-session` and are not kept: the engine wipes them, at `drop-session` at the latest.
// WireGuard's rule to zero all keys after 540 s has nothing left to do, since every session is dropped at 180 s and
// every handshake given up at 90 s.
//
// A cookie reply to our initiation or our response is kept and used for mac2 of whatever we send that peer in the next
// 120 s. It changes nothing else: who sends one proves only that it saw our message, so it is not heard and moves no
// endpoint. And nothing is sent because of it: the initiation is repeated when its timer says so (whitepaper section 6.6),
// by the initiator, also when it was the response that met load. To repeat at once would be to answer load with load,
// and whoever reads the wire could make us send as fast as he can.

/** WireGuard sessions of all peers. Deterministic; a wake-up that comes late or for nothing does no harm. */
export class SessionTable {
  readonly #us: HandshakeIdentity;
  readonly #mac1Key: Uint8Array;
  readonly #peers = new Map<SessionSlot, SessionPeer>();
  readonly #peersByKey = new Map<string, SessionPeer>();
  /** Whose every index of ours is: of sessions, and of the initiation under way. */
  readonly #peersByIndex = new Map<number, SessionPeer>();
  /** The highest that was sent to a peer since removed: it may come back, and remembers. */
  #forgottenTimestamp: Uint8Array | undefined;
  readonly #wakes = new WakeQueue<SessionPeer>();
  readonly #stamps: StampClock;
  /** Whose initiation waits for a reservation of stamps. */
  readonly #held = new Set<SessionPeer>();

  constructor(options: SessionTableOptions) {
    this.#us = options;
    this.#mac1Key = mac1Key(options.key.publicKey);
    this.#stamps = new StampClock(options.stampFloor);
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
      case "path-proven":
        this.#with(event.slot, (peer) => this.#hurry(peer, { ...event, now }, effects));
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
        this.#stamps.setWallOffset(event.offset);
        this.#reserveStamps(now, effects);
        break;
      case "stamps-reserved":
        this.#stamps.reserved(event.until);
        this.#sendHeld(now, effects);
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

  /** Indices in use, of all peers: at most four for each. */
  get indexCount(): number {
    return this.#peersByIndex.size;
  }

  #with(slot: SessionSlot, act: (peer: SessionPeer) => void): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    act(peer);
    this.#schedule(peer);
  }

  #schedule(peer: SessionPeer): void {
    const sessions = sessionsOf(peer.rotation).map(expiresAt);
    const { silentAt, keepaliveAt } = peer.liveness;
    this.#wakes.schedule(peer, earliest(peer.attempt?.retryAt, silentAt, keepaliveAt, ...sessions));
  }

  #add(peer: { slot: SessionSlot; tunnelKey: Uint8Array; presharedKey?: Uint8Array }, effects: SessionEffect[]): void {
    const presharedKey = peer.presharedKey?.slice() ?? new Uint8Array(32);
    const known = this.#peers.get(peer.slot);
    if (known !== undefined && equalBytes(known.tunnelKey, peer.tunnelKey)) {
      if (this.#us.crypto.equalSecret(known.presharedKey, presharedKey)) return;
    }
    const keyHex = formatHex(peer.tunnelKey);
    this.#remove(known, effects);
    this.#remove(this.#peersByKey.get(keyHex), effects);
    const added: SessionPeer = {
      slot: peer.slot,
      keyHex,
      tunnelKey: peer.tunnelKey,
      presharedKey,
      cookie: new PeerCookie(this.#us.crypto, peer.tunnelKey),
      rotation: {},
      liveness: UNHEARD,
    };
    this.#peers.set(added.slot, added);
    this.#peersByKey.set(keyHex, added);
  }

  #remove(peer: SessionPeer | undefined, effects: SessionEffect[]): void {
    if (peer === undefined) return;
    const { sentTimestamp: sent } = peer;
    if (sent !== undefined && compareBytes(sent, this.#forgottenTimestamp ?? sent) >= 0) this.#forgottenTimestamp = sent;
    this.#endAttempt(peer);
    this.#turn(peer, { rotation: {}, dropped: sessionsOf(peer.rotation) }, effects);
    peer.presharedKey.fill(0);
    peer.cookie.wipe();
    this.#peers.delete(peer.slot);
    this.#peersByKey.delete(peer.keyHex);
    this.#wakes.remove(peer);
  }

  // --- as initiator

  /** Starts a handshake unless one is under way, was started less than REKEY_TIMEOUT ago, or the peer's is about to end. */
  #initiate(peer: SessionPeer, now: Millis, effects: SessionEffect[]): void {
    if (peer.attempt !== undefined) return;
    if (peer.initiatedAt !== undefined && now - peer.initiatedAt < REKEY_TIMEOUT) return;
    if (peer.rotation.next !== undefined && now - peer.rotation.next.createdAt < CONFIRMATION_TIMEOUT) return;
    this.#sendInitiation(peer, { now, startedAt: now, count: 1 }, effects);
  }

  /** The attempt and its end stay what they are. */
  #hurry(peer: SessionPeer, { repeatAt, now }: { readonly repeatAt: Millis; readonly now: Millis }, effects: SessionEffect[]): void {
    const { attempt } = peer;
    if (attempt === undefined || attempt.count >= MOST_INITIATIONS) return;
    const retryAt = Math.min(attempt.retryAt, Math.max(repeatAt, (peer.initiatedAt ?? now) + EARLY_REPEAT_INTERVAL));
    peer.attempt = { ...attempt, retryAt };
    if (retryAt <= now) this.#retry(peer, peer.attempt, { now, effects });
  }

  #retry(peer: SessionPeer, attempt: Attempt, options: { readonly now: Millis; readonly effects: SessionEffect[] }): void {
    const { now, effects } = options;
    this.#endAttempt(peer);
    if (now < attempt.startedAt + REKEY_ATTEMPT_TIME) {
      this.#sendInitiation(peer, { now, startedAt: attempt.startedAt, count: attempt.count + 1 }, effects);
    } else {
      effects.push({ type: "handshake-failed", slot: peer.slot });
    }
  }

  #sendInitiation(peer: SessionPeer, attempt: { now: Millis; startedAt: Millis; count: number }, effects: SessionEffect[]): void {
    const { now, startedAt, count } = attempt;
    const timestamp = this.#stamps.next(peer.sentTimestamp ?? this.#forgottenTimestamp, now);
    this.#reserveStamps(now, effects);
    if (timestamp === undefined) {
      peer.held = { startedAt, count };
      this.#held.add(peer);
      return;
    }
    const localIndex = this.#freeIndex();
    const created = createInitiation(this.#us, peer, { senderIndex: localIndex, timestamp });
    if (created === undefined) {
      effects.push({ type: "handshake-failed", slot: peer.slot });
      return;
    }
    const { bytes, noise } = created;
    peer.cookie.addMac2(bytes, now);
    const retryAt = Math.min(now + REKEY_TIMEOUT + this.#jitter(), startedAt + REKEY_ATTEMPT_TIME);
    peer.attempt = { localIndex, mac1: mac1Of(bytes).slice(), noise, startedAt, count, retryAt };
    peer.sentTimestamp = timestamp;
    peer.initiatedAt = now;
    peer.liveness = recordSent(peer.liveness, now);
    this.#peersByIndex.set(localIndex, peer);
    effects.push({ type: "send-handshake", slot: peer.slot, bytes });
  }

  #reserveStamps(now: Millis, effects: SessionEffect[]): void {
    const until = this.#stamps.reservation(now);
    if (until !== undefined) effects.push({ type: "reserve-stamps", until });
  }

  #sendHeld(now: Millis, effects: SessionEffect[]): void {
    for (const peer of [...this.#held]) {
      const { held } = peer;
      this.#endAttempt(peer);
      if (held !== undefined) this.#sendInitiation(peer, { now, ...held }, effects);
      this.#schedule(peer);
    }
  }

  /** Forgets the initiation under way and its ephemeral secrets; a response to it finds nobody. */
  #endAttempt(peer: SessionPeer): void {
    if (this.#held.delete(peer)) delete peer.held;
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

  #takeCookie(reply: CookieReply, now: Millis): SessionDrop | undefined {
    const peer = this.#peersByIndex.get(reply.receiverIndex);
    const sent = [peer?.attempt, peer?.answer].find((message) => message?.localIndex === reply.receiverIndex);
    if (peer === undefined || sent === undefined) return "unknown-index";
    if (sent.mac1 === undefined) return "replayed";
    if (!peer.cookie.take(reply, sent.mac1, now)) return "not-authentic";
    sent.mac1 = undefined;
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
    if (peer.answer !== undefined && now - peer.answer.at < INITIATION_INTERVAL) return "too-fast";
    const localIndex = this.#freeIndex();
    const response = createResponse(this.#us, peer, { initiation: message, noise: read.noise, senderIndex: localIndex });
    if (response === undefined) return "not-authentic";

    const { bytes, keys } = response;
    peer.cookie.addMac2(bytes, now);
    peer.heardTimestamp = timestamp;
    peer.answer = { at: now, localIndex, mac1: mac1Of(bytes).slice() };
    peer.liveness = recordSent(recordHeard(peer.liveness, now), now);
    effects.push({ type: "heard", slot: peer.slot, from });
    const session: Session = { localIndex, role: "responder", createdAt: now };
    this.#install(peer, { session, rotated: rotateResponded(peer.rotation, session), remoteIndex: message.senderIndex, keys }, effects);
    effects.push({ type: "reply", slot: peer.slot, to: from, bytes });
    this.#schedule(peer);
    return undefined;
  }

  /** The initiator has the keys: its session is current, and a handshake of our own has become needless. */
  #confirm(peer: SessionPeer, confirmed: { readonly localIndex: number; readonly now: Millis }, effects: SessionEffect[]): void {
    const rotated = rotateConfirmed(peer.rotation, confirmed.localIndex);
    if (rotated === undefined) return;
    this.#endAttempt(peer);
    peer.establishedAt = confirmed.now;
    peer.liveness = recordHeard(peer.liveness, confirmed.now);
    this.#turn(peer, rotated, effects);
  }

  // --- both

  #receive(event: { readonly bytes: Uint8Array; readonly from: Way }, now: Millis, effects: SessionEffect[]): void {
    const cause = this.#consume(event.bytes, { from: event.from, now }, effects);
    if (cause !== undefined) effects.push({ type: "dropped", cause });
  }

  /** Why the message changed nothing; undefined when it was consumed. */
  #consume(bytes: Uint8Array, arrival: Arrival, effects: SessionEffect[]): SessionDrop | undefined {
    const decoded = decodeHandshakeMessage(bytes);
    if (!decoded.ok) return decoded.fault;
    const message = decoded.value;
    if (message.type === "cookie-reply") return this.#takeCookie(message, arrival.now);
    if (!hasMac1(this.#us.crypto, bytes, this.#mac1Key)) return "mac1-mismatch";
    return message.type === "initiation" ? this.#answer(message, arrival, effects) : this.#finish(message, arrival, effects);
  }

  #trace(peer: SessionPeer, traffic: { readonly stamps: TrafficStamps; readonly now: Millis }, effects: SessionEffect[]): void {
    const { stamps, now } = traffic;
    peer.liveness = recordTraffic(peer.liveness, stamps, () => this.#jitter());
    if (isWornOut(peer.rotation, stamps)) this.#initiate(peer, now, effects);
  }

  #expire(peer: SessionPeer, now: Millis, effects: SessionEffect[]): void {
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
    peer: SessionPeer,
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

  #turn(peer: SessionPeer, { rotation, dropped }: Rotated, effects: SessionEffect[]): void {
    peer.rotation = rotation;
    for (const { localIndex } of dropped) {
      this.#peersByIndex.delete(localIndex);
      effects.push({ type: "drop-session", localIndex });
    }
  }

  #jitter(): Millis {
    return randomBelow(this.#us.random, REKEY_TIMEOUT_JITTER + 1);
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
  readonly from: Way;
  readonly now: Millis;
}
