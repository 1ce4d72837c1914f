// The rules of the Datapath port as one object without devices: packets and instants go in, what leaves goes out through
// `output`, before the call returns. The native engine (native/engine/outbound.cc, inbound.cc) does the same in the same
// order, under the same counters.
//
// Out, from TUN:
//
//   1. inner header    a whole IPv4 or IPv6 packet, cut to its own length          else tunMalformed
//   2. route           destination -> peer, by longest prefix                      else tunNoRoute
//   3. stage           without a session or an endpoint it waits; for the lack of a session one is wanted, at most once a
//                      second. Whatever brings the one that lacks sends what waits, so nothing overtakes it
//                                                                                  too many: tunStagedOverflow
//   4. seal            next counter, padding, ChaCha20-Poly1305, stamps
//   5. toUdp
//
// In, from UDP:
//
//   1. kind            transport data goes on to 3                                 too short: udpMalformed
//   2. guard           the rest goes to JavaScript if the guard lets it            see engine/handshake-guard.ts
//   3. session         by receiver index                                           else udpUnknownSession
//   4. open            its time, replay window, seal                               else udpExpiredSession, udpReplayed,
//                                                                                  udpNotAuthentic
//   5. authenticated   stamps; a responder's first packet confirms its session; a roaming peer's endpoint follows
//   6. deliverable     nothing for a keepalive; a whole inner packet               else udpInnerMalformed
//                      whose source leads to the sender                            else udpSourceNotAllowed
//   7. toTun           cut to its own length

import type { Endpoint } from "../address/endpoint.ts";
import type { Crypto, Random } from "../crypto/crypto.ts";
import {
  DATAPATH_COUNTERS,
  type DatapathCounter,
  type DatapathCounters,
  type DatapathException,
  type DatapathSession,
  type ForwardingTable,
  MAX_PEERS,
  type PeerSlot,
  type PeerTraffic,
} from "../ports/datapath.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { datagramKind } from "../wire/datagram-kind.ts";
import { AllowedIps } from "./allowed-ips.ts";
import { EnginePeer, NO_TRAFFIC } from "./engine-peer.ts";
import { GUARD_LIMITS, HandshakeGuard } from "./handshake-guard.ts";
import { readInnerHeader } from "./inner-header.ts";
import { STAGED_FOR, Staging } from "./staging.ts";
import { readTransportHeader, TRANSPORT_MIN_BYTES } from "./transport-message.ts";
import { TransportSession } from "./transport-session.ts";

/** Where things go. Must not call the engine back. Arrays handed over belong to the receiver. */
export interface EngineOutput {
  toUdp(to: Endpoint, datagram: Uint8Array): void;
  /** A whole inner packet; may be a view of a longer array. */
  toTun(packet: Uint8Array): void;
  /** False when there is no room for it: it is then counted as lost. */
  report(exception: EngineException): boolean;
}

/** An engine without devices does not fail. */
export type EngineException = Exclude<DatapathException, { type: "engine-failed" }>;

export interface PacketEngineOptions {
  readonly crypto: Crypto;
  /** Cookie secrets and nonces. */
  readonly random: Random;
  readonly mtu: number; // bytes of an inner packet
  readonly output: EngineOutput;
}

const SESSION_WANTED_INTERVAL: Millis = seconds(1);
const KEEPALIVE = new Uint8Array();

/** Peers, sessions, table and what waits. Calls that name no peer, and keys and tables that cannot be, throw RangeError. */
export class PacketEngine {
  readonly #crypto: Crypto;
  readonly #mtu: number;
  readonly #output: EngineOutput;
  readonly #guard: HandshakeGuard;
  readonly #staging: Staging;
  readonly #peers = new Map<PeerSlot, EnginePeer>();
  /** By local index. */
  readonly #sessions = new Map<number, TransportSession>();
  readonly #counters = Object.fromEntries(DATAPATH_COUNTERS.map((name) => [name, 0])) as Record<DatapathCounter, number>;
  #routes = new AllowedIps();
  #awaitsTraffic = false;

  constructor({ crypto, random, mtu, output }: PacketEngineOptions) {
    this.#crypto = crypto;
    this.#mtu = mtu;
    this.#output = output;
    this.#guard = new HandshakeGuard({ crypto, random, limits: GUARD_LIMITS });
    this.#staging = new Staging(mtu);
  }

  fromTun(packet: Uint8Array, now: Millis): void {
    const inner = readInnerHeader(packet);
    if (inner === undefined) return this.count("tunMalformed");
    const slot = this.#routes.find(inner.destination);
    const peer = slot === undefined ? undefined : this.#peers.get(slot);
    if (peer === undefined) return this.count("tunNoRoute");
    const session = peer.sealing(now);
    const whole = packet.subarray(0, inner.length);
    if (session !== undefined && peer.endpoint !== undefined) {
      return this.#send(peer, { session, to: peer.endpoint, packet: whole, now });
    }
    this.count("tunStagedOverflow", this.#staging.stage(peer.slot, whole, now));
    if (session === undefined) this.#wantSession(peer, now);
  }

  fromUdp(from: Endpoint, datagram: Uint8Array, now: Millis): void {
    if (datagramKind(datagram) !== "transport") return this.#guarded(from, datagram, now);
    if (datagram.length < TRANSPORT_MIN_BYTES) return this.count("udpMalformed");
    const { receiverIndex, counter } = readTransportHeader(datagram);
    const session = this.#sessions.get(receiverIndex);
    const peer = session === undefined ? undefined : this.#peers.get(session.slot);
    if (session === undefined || peer === undefined) return this.count("udpUnknownSession");
    const opened = session.open(counter, datagram, now);
    if (!opened.ok) return this.count(opened.fault);
    const { plaintext } = opened;
    this.#authenticated(peer, { session, from, isData: plaintext.length > 0, now });
    if (plaintext.length > 0) this.#deliver(peer, plaintext);
  }

  setHandshakeKey(publicKey: Uint8Array): void {
    this.#guard.setKey(publicKey);
  }

  publishTable(table: ForwardingTable): void {
    const kept = new Set(table.peers.map(checkSlot));
    const routes = new AllowedIps();
    for (const { prefix, slot } of table.routes) {
      if (!kept.has(slot)) throw new RangeError(`route ${prefix.ip}/${prefix.length} leads to slot ${slot}, which has no peer`);
      routes.insert(prefix, slot);
    }
    const roaming = new Set(table.roaming);
    for (const slot of roaming) if (!kept.has(slot)) throw new RangeError(`slot ${slot} roams and has no peer`);
    for (const [slot, peer] of [...this.#peers]) {
      if (kept.has(slot)) continue;
      this.#release(peer.sessions);
      this.#staging.dropOlder(slot, Number.POSITIVE_INFINITY);
      this.#peers.delete(slot);
    }
    for (const slot of kept) {
      const peer = this.#peers.get(slot) ?? new EnginePeer(slot);
      peer.isRoaming = roaming.has(slot);
      this.#peers.set(slot, peer);
    }
    this.#routes = routes;
  }

  setEndpoint(slot: PeerSlot, endpoint: Endpoint | undefined, now: Millis): void {
    const peer = this.#peerOf(slot);
    peer.endpoint = endpoint;
    if (endpoint === undefined) return;
    this.#guard.noteContact(endpoint, Math.floor(now));
    this.#flush(peer, now);
  }

  /** JavaScript sends a datagram there, past this object. */
  noteSent(to: Endpoint, now: Millis): void {
    this.#guard.keepContact(to, Math.floor(now));
  }

  installSession(keys: DatapathSession, now: Millis): void {
    const peer = this.#peerOf(keys.slot);
    if (this.#sessions.has(keys.localIndex)) throw new RangeError(`index ${keys.localIndex} is in use`);
    const session = new TransportSession(this.#crypto, keys);
    this.#release(peer.install(session));
    this.#sessions.set(session.localIndex, session);
    this.#flush(peer, now);
  }

  dropSession(localIndex: number, now: Millis): void {
    const session = this.#sessions.get(localIndex);
    const peer = session === undefined ? undefined : this.#peers.get(session.slot);
    if (session === undefined || peer === undefined) return;
    peer.forget(session);
    this.#release([session]);
    this.#flush(peer, now);
  }

  sendKeepalive(slot: PeerSlot, now: Millis): void {
    const peer = this.#peerOf(slot);
    const session = peer.sealing(now);
    if (session !== undefined && peer.endpoint !== undefined) this.#send(peer, { session, to: peer.endpoint, packet: KEEPALIVE, now });
  }

  awaitTraffic(): void {
    this.#awaitsTraffic = true;
  }

  readTraffic(slot: PeerSlot): PeerTraffic {
    return { ...(this.#peers.get(checkSlot(slot))?.traffic ?? NO_TRAFFIC) };
  }

  readCounters(): DatapathCounters {
    return { ...this.#counters };
  }

  /** Also for what only the devices know: udpSendErrors, tunWriteErrors. */
  count(counter: DatapathCounter, times: number = 1): void {
    this.#counters[counter] += times;
  }

  /** Local indices of a slot's sessions: next, current, previous. */
  sessionsOf(slot: PeerSlot): readonly number[] {
    return this.#peers.get(slot)?.sessions.map(({ localIndex }) => localIndex) ?? [];
  }

  /** Forgets everything and wipes every key. */
  clear(): void {
    this.publishTable({ peers: [], roaming: [], routes: [] });
    this.#guard.wipe();
  }

  #guarded(from: Endpoint, bytes: Uint8Array, now: Millis): void {
    // Whole milliseconds, as the native engine counts, so that both refill their buckets alike.
    const verdict = this.#guard.judge(from, bytes, Math.floor(now));
    if (verdict.pass) {
      this.#report({ type: "datagram", from, receivedAt: now, bytes: bytes.slice() });
      return;
    }
    this.count(verdict.counter);
    if (verdict.reply !== undefined) this.#output.toUdp(from, verdict.reply);
  }

  #authenticated(
    peer: EnginePeer,
    {
      session,
      from,
      isData,
      now,
    }: { readonly session: TransportSession; readonly from: Endpoint; readonly isData: boolean; readonly now: Millis },
  ): void {
    peer.traffic.authenticatedReceivedAt = now;
    if (isData) peer.traffic.dataReceivedAt = now;
    this.#noteTraffic();
    const hasArrived = peer.isRoaming && peer.endpoint === undefined;
    if (peer.isRoaming) {
      peer.endpoint = from;
      this.#guard.noteContact(from, Math.floor(now));
    }
    // Unconfirmed until JavaScript can be told: the next packet tries again.
    const isConfirmed = peer.awaitsConfirmation(session) && this.#report(confirmed(session));
    if (isConfirmed) peer.confirm(session);
    if (isConfirmed || hasArrived) this.#flush(peer, now);
  }

  #deliver(sender: EnginePeer, plaintext: Uint8Array): void {
    const inner = readInnerHeader(plaintext);
    if (inner === undefined) return this.count("udpInnerMalformed");
    if (this.#routes.find(inner.source) !== sender.slot) return this.count("udpSourceNotAllowed");
    sender.traffic.receivedBytes += inner.length;
    sender.traffic.receivedPackets++;
    this.#output.toTun(plaintext.subarray(0, inner.length));
  }

  #send(
    peer: EnginePeer,
    {
      session,
      to,
      packet,
      now,
    }: { readonly session: TransportSession; readonly to: Endpoint; readonly packet: Uint8Array; readonly now: Millis },
  ): void {
    const datagram = session.seal(packet, this.#mtu);
    const { traffic } = peer;
    traffic.sendCounter = Number(session.sendCounter);
    traffic.authenticatedSentAt = now;
    if (packet.length > 0) {
      traffic.dataSentAt = now;
      traffic.sentBytes += packet.length;
      traffic.sentPackets++;
    }
    this.#noteTraffic();
    this.#output.toUdp(to, datagram);
  }

  #noteTraffic(): void {
    // Without room for it, the next packet tries again.
    if (this.#awaitsTraffic && this.#output.report({ type: "traffic-resumed" })) this.#awaitsTraffic = false;
  }

  /** Sends what waits, as far as it can. */
  #flush(peer: EnginePeer, now: Millis): void {
    const { slot } = peer;
    if (this.#staging.waiting(slot) === 0) return;
    this.count("tunStagedOverflow", this.#staging.dropOlder(slot, now - STAGED_FOR));
    while (this.#staging.waiting(slot) > 0) {
      const session = peer.sealing(now);
      if (session === undefined) return this.#wantSession(peer, now);
      if (peer.endpoint === undefined) return;
      const packet = this.#staging.take(slot);
      if (packet !== undefined) this.#send(peer, { session, to: peer.endpoint, packet, now });
    }
  }

  #wantSession(peer: EnginePeer, now: Millis): void {
    if (peer.wantedAt !== undefined && now < peer.wantedAt + SESSION_WANTED_INTERVAL) return;
    if (this.#report({ type: "session-wanted", slot: peer.slot })) peer.wantedAt = now;
  }

  #report(exception: EngineException): boolean {
    const hasRoom = this.#output.report(exception);
    if (!hasRoom) this.count("exceptionsLost");
    return hasRoom;
  }

  #peerOf(slot: PeerSlot): EnginePeer {
    const peer = this.#peers.get(checkSlot(slot));
    if (peer === undefined) throw new RangeError(`slot ${slot} has no peer`);
    return peer;
  }

  #release(sessions: readonly TransportSession[]): void {
    for (const session of sessions) {
      this.#sessions.delete(session.localIndex);
      session.wipe();
    }
  }
}

function confirmed({ slot, localIndex }: TransportSession): EngineException {
  return { type: "session-confirmed", slot, localIndex };
}

function checkSlot(slot: PeerSlot): PeerSlot {
  if (!Number.isInteger(slot) || slot < 0 || slot >= MAX_PEERS) throw new RangeError(`no slot ${slot}: slots are 0 to ${MAX_PEERS - 1}`);
  return slot;
}
