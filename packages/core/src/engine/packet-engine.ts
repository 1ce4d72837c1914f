// The rules of the Datapath port as one object without devices: packets and instants go in, what leaves goes out through
// `output`, before the call returns. The native engine (native/engine/outbound.cc, inbound.cc) does the same in the same
// order, under the same counters.
//
// Out, from TUN:
//
//   1. inner header    a whole IPv4 or IPv6 packet, cut to its own length          else tunMalformed
//   2. route           destination -> peer, by longest prefix                      else tunNoRoute
//   3. stage           without a session or a way it waits; for the lack of a session one is wanted, at most once a
//                      second. Whatever brings the one that lacks sends what waits, so nothing overtakes it
//                                                                                  too many: tunStagedOverflow
//   4. seal            next counter, padding, ChaCha20-Poly1305, stamps
//   5. toUdp           once by each of its ways, behind the relay's header where the way has one
//                                                                                  closed socket: udpSendErrors
//
// In, from UDP:
//
//   1. relay           what asks to be relayed is passed on, and that is all       see engine/relay-desk.ts
//                      what was relayed goes on without its header                 nothing in it, or again a relay's: udpMalformed
//   2. kind            transport data goes on to 3                                 too short: udpMalformed
//      guard           the rest goes to JavaScript if the guard lets it            see engine/handshake-guard.ts
//   3. session         by receiver index                                           else udpUnknownSession
//   4. open            its time, replay window, seal                               else udpExpiredSession, udpReplayed,
//                                                                                  udpNotAuthentic
//   5. authenticated   stamps; a responder's first packet confirms its session; a roaming peer's way follows, unless relayed
//   6. deliverable     nothing for a keepalive; a whole inner packet               else udpInnerMalformed
//                      whose source leads to the sender                            else udpSourceNotAllowed
//   7. toTun           cut to its own length

import type { SocketId, Way } from "../address/way.ts";
import type { Crypto, Random } from "../crypto/crypto.ts";
import {
  DATAPATH_COUNTERS,
  type DatapathCounter,
  type DatapathCounters,
  type DatapathException,
  type DatapathSession,
  type ForwardingTable,
  MAX_PEERS,
  MAX_SOCKETS,
  type PeerSlot,
  type PeerTraffic,
  type RelayTable,
} from "../ports/datapath.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { datagramKind } from "../wire/datagram-kind.ts";
import { unwrapRelayed, wrapRelayed } from "../wire/relay-header.ts";
import { AllowedIps } from "./allowed-ips.ts";
import { EnginePeer, NO_TRAFFIC } from "./engine-peer.ts";
import { GUARD_LIMITS, HandshakeGuard } from "./handshake-guard.ts";
import { readInnerHeader } from "./inner-header.ts";
import { isRelayKind, RelayDesk, type RelayRequest } from "./relay-desk.ts";
import { STAGED_FOR, Staging } from "./staging.ts";
import { readTransportHeader, TRANSPORT_MIN_BYTES } from "./transport-message.ts";
import { TransportSession } from "./transport-session.ts";
import { checkTtl, checkWay, checkWays, type Hop } from "./ways.ts";

/** Where things go. Must not call the engine back. Nobody changes what is handed over: one array may leave by two ways. */
export interface EngineOutput {
  /** By a socket that is open. `ttl`: so many routers may forward it; undefined: the host's default. */
  toUdp(to: Hop, datagram: Uint8Array, ttl?: number): void;
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
  readonly #relay = new RelayDesk((slot) => this.#peers.get(slot)?.ways[0]);
  readonly #sockets = new Set<SocketId>([0]);
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
    if (session !== undefined && peer.ways.length > 0) return this.#send(peer, { session, packet: whole, now });
    this.count("tunStagedOverflow", this.#staging.stage(peer.slot, whole, now));
    if (session === undefined) this.#wantSession(peer, now);
  }

  fromUdp(from: Hop, datagram: Uint8Array, now: Millis): void {
    if (!isRelayKind(datagram)) return this.#arrived(from, datagram, now);
    const unwrapped = unwrapRelayed(datagram);
    if (unwrapped === undefined) return this.count("udpMalformed");
    const { header, datagram: carried } = unwrapped;
    if (datagramKind(datagram) === "to-relay") return this.#passOn({ from, header, carried }, now);
    this.#arrived({ ...from, relay: { ...header, pass: 0 } }, carried, now); // where a relay's kind is malformed
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

  setWays(slot: PeerSlot, ways: readonly Way[], now: Millis): void {
    const peer = this.#peerOf(slot);
    checkWays(ways, (socket) => this.#sockets.has(socket));
    peer.ways = [...ways];
    if (ways.length === 0) return;
    for (const { endpoint } of ways) this.#guard.noteContact(endpoint, Math.floor(now));
    this.#flush(peer, now);
  }

  setRelay(table: RelayTable, now: Millis): void {
    this.#relay.setTable(table, Math.floor(now));
  }

  /** The lowest number that no socket has, for one to be opened; undefined: there are MAX_SOCKETS. */
  takeSocket(): SocketId | undefined {
    for (let socket = 1; socket < MAX_SOCKETS; socket++) {
      if (this.#sockets.has(socket)) continue;
      this.#sockets.add(socket);
      return socket;
    }
    return undefined;
  }

  /** That socket is closed, or could not be opened. False: there is none, or it is the first, which stays. */
  releaseSocket(socket: SocketId): boolean {
    return socket !== 0 && this.#sockets.delete(socket);
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
    if (session !== undefined && peer.ways.length > 0) this.#send(peer, { session, packet: KEEPALIVE, now });
  }

  /** Copies the bytes. */
  sendDatagram(way: Way, bytes: Uint8Array, { ttl, now }: { readonly ttl: number | undefined; readonly now: Millis }): void {
    checkWay(way);
    checkTtl(ttl);
    this.#guard.keepContact(way.endpoint, Math.floor(now));
    this.#transmit(way, bytes.slice(), ttl);
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

  #passOn(request: RelayRequest, now: Millis): void {
    // Whole milliseconds, as the native engine counts, so that both refill their buckets alike.
    const verdict = this.#relay.judge(request, Math.floor(now));
    if (!verdict.pass) return this.count(verdict.counter);
    const { header, carried } = request;
    this.count("relayedPackets");
    this.count("relayedBytes", carried.length);
    this.#transmit(verdict.way, wrapRelayed("from-relay", { ...header, pass: 0 }, carried));
  }

  #arrived(from: Way, datagram: Uint8Array, now: Millis): void {
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

  #guarded(from: Way, bytes: Uint8Array, now: Millis): void {
    const verdict = this.#guard.judge(from.endpoint, bytes, Math.floor(now), { isRelayed: from.relay !== undefined });
    if (verdict.pass) {
      this.#report({ type: "datagram", from, receivedAt: now, bytes: bytes.slice() });
      return;
    }
    this.count(verdict.counter);
    if (verdict.reply !== undefined) this.#transmit(from, verdict.reply); // none to what was relayed
  }

  #authenticated(
    peer: EnginePeer,
    {
      session,
      from,
      isData,
      now,
    }: { readonly session: TransportSession; readonly from: Way; readonly isData: boolean; readonly now: Millis },
  ): void {
    peer.traffic.authenticatedReceivedAt = now;
    if (isData) peer.traffic.dataReceivedAt = now;
    this.#noteTraffic();
    const isMoved = peer.isRoaming && from.relay === undefined;
    const hasArrived = isMoved && peer.ways.length === 0;
    if (isMoved) {
      peer.ways = [from];
      this.#guard.noteContact(from.endpoint, Math.floor(now));
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
    { session, packet, now }: { readonly session: TransportSession; readonly packet: Uint8Array; readonly now: Millis },
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
    for (const way of peer.ways) this.#transmit(way, datagram);
  }

  #transmit({ endpoint, socket = 0, relay }: Way, datagram: Uint8Array, ttl?: number): void {
    if (!this.#sockets.has(socket)) return this.count("udpSendErrors");
    this.#output.toUdp({ endpoint, socket }, relay === undefined ? datagram : wrapRelayed("to-relay", relay, datagram), ttl);
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
      if (peer.ways.length === 0) return;
      const packet = this.#staging.take(slot);
      if (packet !== undefined) this.#send(peer, { session, packet, now });
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
