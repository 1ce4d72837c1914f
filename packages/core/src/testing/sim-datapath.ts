import type { Endpoint } from "../address/endpoint.ts";
import type { SocketId, Way } from "../address/way.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { PacketEngine } from "../engine/packet-engine.ts";
import type { Hop } from "../engine/ways.ts";
import type {
  Datapath,
  DatapathCounters,
  DatapathException,
  DatapathInfo,
  DatapathSession,
  ForwardingTable,
  PeerSlot,
  PeerTraffic,
  RelayTable,
} from "../ports/datapath.ts";
import type { Millis } from "../time/millis.ts";
import { decodeInnerPacket, encodeInnerPacket, type InnerPacket } from "./inner-packet.ts";
import { SeededRandom } from "./seeded-random.ts";
import type { SimClock } from "./sim-clock.ts";
import type { SimWire } from "./sim-host.ts";

const MTU = 1420;
/** Ports of further sockets, as if of the kernel's choice: each one new, from here on, and round again. */
const FIRST_FURTHER_PORT = 40_000;
const LAST_PORT = 65_535;

export interface SimDatapathOptions {
  readonly name: string;
  readonly clock: SimClock;
  readonly network: SimWire;
  readonly crypto: Crypto;
  readonly endpoint: Endpoint;
  readonly onException: (exception: DatapathException) => void;
  readonly onInner: (packet: InnerPacket) => void;
}

/** The packet engine of a simulated host: {@link PacketEngine} between the simulated network and no device at all. */
export class SimDatapath implements Datapath {
  readonly info: DatapathInfo;
  readonly #clock: SimClock;
  readonly #network: SimWire;
  readonly #name: string;
  readonly #endpoint: Endpoint;
  readonly #sockets = new Map<SocketId, { readonly endpoint: Endpoint; readonly unbind: () => void }>();
  #nextPort = FIRST_FURTHER_PORT;
  readonly #onException: (exception: DatapathException) => void;
  readonly #engine: PacketEngine;
  readonly #waiting: DatapathException[] = [];
  /** Of the sessions that were installed, for tests; those the engine has forgotten too. */
  readonly #keys = new Map<number, DatapathSession>();

  constructor(options: SimDatapathOptions) {
    const { name, clock, network, crypto, endpoint, onInner } = options;
    this.#clock = clock;
    this.#network = network;
    this.#name = name;
    this.#endpoint = endpoint;
    this.#onException = options.onException;
    const output = {
      toUdp: ({ endpoint: to, socket }: Hop, datagram: Uint8Array, ttl?: number): void => {
        const from = this.#sockets.get(socket)?.endpoint ?? endpoint;
        network.send(from, to, datagram, ttl === undefined ? {} : { ttl });
      },
      toTun: (packet: Uint8Array): void => {
        const inner = decodeInnerPacket(packet);
        if (inner !== undefined) onInner(inner);
      },
      report: (exception: DatapathException): boolean => this.#waiting.push(exception) > 0,
    };
    const random = SeededRandom.named(endpoint.port, `engine of ${name}`);
    this.#engine = new PacketEngine({ crypto, random, mtu: MTU, output });
    this.info = { backend: "twin", tunName: "mesh0", mtu: MTU, udpPort: endpoint.port, isDualStack: true };
    this.#bind(0, endpoint);
  }

  now(): Millis {
    return this.#clock.now();
  }

  setHandshakeKey(publicKey: Uint8Array): void {
    this.#engine.setHandshakeKey(publicKey);
  }

  publishTable(table: ForwardingTable): void {
    this.#engine.publishTable(table);
  }

  setWays(slot: PeerSlot, ways: readonly Way[]): void {
    this.#engine.setWays(slot, ways, this.now());
    this.#tellSoon();
  }

  setRelay(table: RelayTable): void {
    this.#engine.setRelay(table, this.now());
  }

  installSession(session: DatapathSession): void {
    const keys = { sendKey: session.sendKey.slice(), receiveKey: session.receiveKey.slice() };
    this.#engine.installSession(session, this.now());
    const alive = new Set(this.#engine.sessionsOf(session.slot));
    for (const [index, { slot }] of this.#keys) if (slot === session.slot && !alive.has(index)) this.#keys.delete(index);
    this.#keys.set(session.localIndex, { ...session, ...keys });
    this.#tellSoon();
  }

  dropSession(localIndex: number): void {
    this.#engine.dropSession(localIndex, this.now());
    this.#tellSoon();
  }

  sendKeepalive(slot: PeerSlot): void {
    this.#engine.sendKeepalive(slot, this.now());
    this.#tellSoon();
  }

  sendDatagram(way: Way, bytes: Uint8Array, { ttl }: { readonly ttl?: number } = {}): void {
    this.#engine.sendDatagram(way, bytes, { ttl, now: this.now() });
  }

  openSockets(count: number): readonly SocketId[] {
    const opened: SocketId[] = [];
    while (opened.length < count) {
      const socket = this.#engine.takeSocket();
      if (socket === undefined) break;
      this.#bind(socket, { ip: this.#endpoint.ip, port: this.#nextPort });
      this.#nextPort = this.#nextPort === LAST_PORT ? FIRST_FURTHER_PORT : this.#nextPort + 1;
      opened.push(socket);
    }
    return opened;
  }

  closeSockets(sockets: readonly SocketId[]): void {
    for (const socket of sockets) if (this.#engine.releaseSocket(socket)) this.#unbind(socket);
  }

  awaitTraffic(): void {
    this.#engine.awaitTraffic();
  }

  readTraffic(slot: PeerSlot): PeerTraffic {
    return this.#engine.readTraffic(slot);
  }

  readCounters(): DatapathCounters {
    return this.#engine.readCounters();
  }

  close(): Promise<void> {
    for (const socket of [...this.#sockets.keys()]) this.#unbind(socket);
    this.#engine.clear();
    return Promise.resolve();
  }

  /** How many are open beside the first one, for tests. */
  get furtherSockets(): number {
    return this.#sockets.size - 1;
  }

  /** Every live session of a slot, for tests: index, keys, role. */
  sessionsOf(slot: PeerSlot): readonly DatapathSession[] {
    return this.#engine.sessionsOf(slot).flatMap((index) => this.#keys.get(index) ?? []);
  }

  /** A packet as it would come out of the TUN device. */
  sendInner(packet: InnerPacket): void {
    this.#engine.fromTun(encodeInnerPacket(packet), this.now());
    this.#tellSoon();
  }

  #bind(socket: SocketId, endpoint: Endpoint): void {
    const unbind = this.#network.bind(this.#name, endpoint, (from, bytes) => {
      this.#engine.fromUdp({ endpoint: from, socket }, bytes, this.now());
      this.#tell();
    });
    this.#sockets.set(socket, { endpoint, unbind });
  }

  #unbind(socket: SocketId): void {
    this.#sockets.get(socket)?.unbind();
    this.#sockets.delete(socket);
  }

  /** As the real engine: never inside a call, which a node makes in the middle of its effects. */
  #tellSoon(): void {
    if (this.#waiting.length > 0) this.#clock.at(this.now(), () => this.#tell());
  }

  #tell(): void {
    for (const exception of this.#waiting.splice(0)) this.#onException(exception);
  }
}
