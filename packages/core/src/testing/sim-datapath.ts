import type { Endpoint } from "../address/endpoint.ts";
import { PrefixTrie } from "../address/prefix-trie.ts";
import { concatBytes } from "../bytes/bytes.ts";
import type { Crypto } from "../crypto/crypto.ts";
import {
  DATAPATH_COUNTERS,
  type Datapath,
  type DatapathCounter,
  type DatapathCounters,
  type DatapathException,
  type DatapathInfo,
  type DatapathSession,
  type ForwardingTable,
  type PeerSlot,
  type PeerTraffic,
  STAGED_PACKETS,
} from "../ports/datapath.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { datagramKind } from "../wire/datagram-kind.ts";
import { decodeInnerPacket, encodeInnerPacket, type InnerPacket } from "./inner-packet.ts";
import type { SimClock } from "./sim-clock.ts";
import type { SimNetwork } from "./sim-network.ts";

interface Session extends DatapathSession {
  sendCounter: number;
  readonly seen: Set<number>;
}

interface Peer {
  endpoint: Endpoint | undefined;
  current: Session | undefined;
  previous: Session | undefined;
  next: Session | undefined;
  readonly staged: Uint8Array[];
  wantedAt: Millis | undefined;
  traffic: { -readonly [K in keyof PeerTraffic]: number };
}

const TRANSPORT_HEADER_BYTES = 16;
const NO_TRAFFIC: PeerTraffic = {
  sentBytes: 0,
  receivedBytes: 0,
  sentPackets: 0,
  receivedPackets: 0,
  dataSentAt: 0,
  dataReceivedAt: 0,
  authenticatedSentAt: 0,
  authenticatedReceivedAt: 0,
  sendCounter: 0,
};

/**
 * The packet engine of a simulated host: the port's rules over a simulated network, real transport packets, no devices.
 *
 *   out: sendInner → longest prefix → session → seal → network        in: network → index → open → replay → source → onInner
 */
export class SimDatapath implements Datapath {
  readonly info: DatapathInfo;
  readonly #clock: SimClock;
  readonly #network: SimNetwork;
  readonly #crypto: Crypto;
  readonly #endpoint: Endpoint;
  readonly #onException: (exception: DatapathException) => void;
  readonly #onInner: (packet: InnerPacket) => void;
  readonly #unbind: () => void;
  readonly #peers = new Map<PeerSlot, Peer>();
  readonly #sessions = new Map<number, Session>();
  readonly #counters: Record<DatapathCounter, number>;
  #routes = new PrefixTrie<PeerSlot>();

  constructor(options: {
    readonly name: string;
    readonly clock: SimClock;
    readonly network: SimNetwork;
    readonly crypto: Crypto;
    readonly endpoint: Endpoint;
    readonly onException: (exception: DatapathException) => void;
    readonly onInner: (packet: InnerPacket) => void;
  }) {
    this.#clock = options.clock;
    this.#network = options.network;
    this.#crypto = options.crypto;
    this.#endpoint = options.endpoint;
    this.#onException = options.onException;
    this.#onInner = options.onInner;
    this.#counters = Object.fromEntries(DATAPATH_COUNTERS.map((name) => [name, 0])) as Record<DatapathCounter, number>;
    this.info = { backend: "twin", tunName: "mesh0", mtu: 1420, udpPort: options.endpoint.port, isDualStack: true };
    this.#unbind = options.network.bind(options.name, options.endpoint, (from, bytes) => this.#receive(from, bytes));
  }

  now(): Millis {
    return this.#clock.now();
  }

  publishTable(table: ForwardingTable): void {
    const kept = new Set(table.peers);
    for (const [slot, peer] of [...this.#peers]) {
      if (kept.has(slot)) continue;
      for (const session of [peer.current, peer.previous, peer.next]) if (session !== undefined) this.#sessions.delete(session.localIndex);
      this.#peers.delete(slot);
    }
    for (const slot of kept) {
      if (this.#peers.has(slot)) continue;
      const traffic = { ...NO_TRAFFIC };
      this.#peers.set(slot, {
        endpoint: undefined,
        current: undefined,
        previous: undefined,
        next: undefined,
        staged: [],
        wantedAt: undefined,
        traffic,
      });
    }
    this.#routes = new PrefixTrie();
    for (const { prefix, slot } of table.routes) this.#routes.insert(prefix, slot);
  }

  setEndpoint(slot: PeerSlot, endpoint: Endpoint | undefined): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    peer.endpoint = endpoint;
    this.#flush(slot, peer);
  }

  installSession(keys: DatapathSession): void {
    const peer = this.#peers.get(keys.slot);
    if (peer === undefined) return;
    const session: Session = {
      ...keys,
      sendKey: keys.sendKey.slice(),
      receiveKey: keys.receiveKey.slice(),
      sendCounter: 0,
      seen: new Set(),
    };
    this.#sessions.set(session.localIndex, session);
    if (session.role === "responder") {
      if (peer.next !== undefined) this.#sessions.delete(peer.next.localIndex);
      peer.next = session;
      return;
    }
    this.#makeCurrent(peer, session);
    this.#flush(keys.slot, peer);
  }

  dropSession(localIndex: number): void {
    const session = this.#sessions.get(localIndex);
    const peer = session === undefined ? undefined : this.#peers.get(session.slot);
    this.#sessions.delete(localIndex);
    if (peer === undefined) return;
    if (peer.current === session) peer.current = undefined;
    if (peer.previous === session) peer.previous = undefined;
    if (peer.next === session) peer.next = undefined;
  }

  sendKeepalive(slot: PeerSlot): void {
    const peer = this.#peers.get(slot);
    if (peer !== undefined) this.#seal(peer, new Uint8Array());
  }

  sendDatagram(to: Endpoint, bytes: Uint8Array): void {
    this.#network.send(this.#endpoint, to, bytes);
  }

  readTraffic(slot: PeerSlot): PeerTraffic {
    return { ...(this.#peers.get(slot)?.traffic ?? NO_TRAFFIC) };
  }

  readCounters(): DatapathCounters {
    return { ...this.#counters };
  }

  close(): Promise<void> {
    this.#unbind();
    return Promise.resolve();
  }

  /** Every live session of a slot, for tests: index, keys, role. */
  sessionsOf(slot: PeerSlot): readonly DatapathSession[] {
    return [...this.#sessions.values()].filter((session) => session.slot === slot);
  }

  /** A packet as it would come out of the TUN device. */
  sendInner(packet: InnerPacket): void {
    const slot = this.#routes.lookup(packet.destination);
    const peer = slot === undefined ? undefined : this.#peers.get(slot);
    if (slot === undefined || peer === undefined) {
      this.#counters.tunNoRoute++;
      return;
    }
    peer.staged.push(encodeInnerPacket(packet));
    if (peer.staged.length > STAGED_PACKETS) {
      peer.staged.shift();
      this.#counters.tunStagedOverflow++;
    }
    this.#flush(slot, peer);
  }

  #flush(slot: PeerSlot, peer: Peer): void {
    while (peer.staged[0] !== undefined && this.#seal(peer, peer.staged[0])) peer.staged.shift();
    const now = this.#clock.now();
    const isWanting =
      peer.staged.length > 0 && (peer.current === undefined || peer.current.expiresAt <= now || peer.endpoint === undefined);
    if (!isWanting || (peer.wantedAt !== undefined && now < peer.wantedAt + seconds(1))) return;
    peer.wantedAt = now;
    this.#clock.at(now, () => this.#onException({ type: "session-wanted", slot }));
    this.#clock.at(now + seconds(1), () => this.#flush(slot, peer));
  }

  /** False when there is no session or nowhere to send to. */
  #seal(peer: Peer, inner: Uint8Array): boolean {
    const now = this.#clock.now();
    const session = peer.current;
    if (session === undefined || session.expiresAt <= now || peer.endpoint === undefined) return false;
    const counter = session.sendCounter++;
    const header = new Uint8Array(TRANSPORT_HEADER_BYTES);
    const view = new DataView(header.buffer);
    view.setUint8(0, 4);
    view.setUint32(4, session.remoteIndex, true);
    view.setBigUint64(8, BigInt(counter), true);
    const padded = concatBytes(inner, new Uint8Array((16 - (inner.length % 16)) % 16));
    const sealed = this.#crypto.seal(session.sendKey, nonce(counter), new Uint8Array(), padded);
    this.#network.send(this.#endpoint, peer.endpoint, concatBytes(header, sealed));
    peer.traffic.authenticatedSentAt = now;
    peer.traffic.sendCounter = session.sendCounter;
    if (inner.length > 0) {
      peer.traffic.dataSentAt = now;
      peer.traffic.sentPackets++;
      peer.traffic.sentBytes += inner.length;
    }
    return true;
  }

  #receive(from: Endpoint, bytes: Uint8Array): void {
    const kind = datagramKind(bytes);
    if (kind === "transport") this.#open(bytes);
    else if (kind === "unknown") this.#counters.udpMalformed++;
    else this.#onException({ type: "datagram", from, receivedAt: this.#clock.now(), bytes });
  }

  #open(bytes: Uint8Array): void {
    if (bytes.length < TRANSPORT_HEADER_BYTES + 16) {
      this.#counters.udpMalformed++;
      return;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const session = this.#sessions.get(view.getUint32(4, true));
    const counter = Number(view.getBigUint64(8, true));
    const peer = session === undefined ? undefined : this.#peers.get(session.slot);
    if (session === undefined || peer === undefined) return this.#drop("udpUnknownSession");
    if (session.expiresAt <= this.#clock.now()) return this.#drop("udpExpiredSession");
    const inner = this.#crypto.open(session.receiveKey, nonce(counter), new Uint8Array(), bytes.subarray(TRANSPORT_HEADER_BYTES));
    if (inner === undefined) return this.#drop("udpNotAuthentic");
    if (session.seen.has(counter)) return this.#drop("udpReplayed");
    session.seen.add(counter);
    peer.traffic.authenticatedReceivedAt = this.#clock.now();
    if (peer.next === session) {
      this.#makeCurrent(peer, session);
      peer.next = undefined;
      this.#onException({ type: "session-confirmed", slot: session.slot, localIndex: session.localIndex });
      this.#flush(session.slot, peer);
    }
    if (inner.length === 0) return;
    const packet = decodeInnerPacket(inner);
    if (packet === undefined) return this.#drop("udpInnerMalformed");
    if (this.#routes.lookup(packet.source) !== session.slot) return this.#drop("udpSourceNotAllowed");
    peer.traffic.dataReceivedAt = this.#clock.now();
    peer.traffic.receivedPackets++;
    peer.traffic.receivedBytes += inner.length;
    this.#onInner(packet);
  }

  #drop(counter: DatapathCounter): void {
    this.#counters[counter]++;
  }

  #makeCurrent(peer: Peer, session: Session): void {
    if (peer.previous !== undefined) this.#sessions.delete(peer.previous.localIndex);
    peer.previous = peer.current;
    peer.current = session;
  }
}

/** WireGuard's nonce: 4 zero bytes and the counter, little-endian. */
function nonce(counter: number): Uint8Array {
  const bytes = new Uint8Array(12);
  new DataView(bytes.buffer).setBigUint64(4, BigInt.asUintN(64, BigInt(counter)), true);
  return bytes;
}
