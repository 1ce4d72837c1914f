import type { Endpoint } from "../address/endpoint.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { PacketEngine } from "../engine/packet-engine.ts";
import type {
  Datapath,
  DatapathCounters,
  DatapathException,
  DatapathInfo,
  DatapathSession,
  ForwardingTable,
  PeerSlot,
  PeerTraffic,
} from "../ports/datapath.ts";
import type { Millis } from "../time/millis.ts";
import { decodeInnerPacket, encodeInnerPacket, type InnerPacket } from "./inner-packet.ts";
import { SeededRandom } from "./seeded-random.ts";
import type { SimClock } from "./sim-clock.ts";
import type { SimNetwork } from "./sim-network.ts";

const MTU = 1420;

export interface SimDatapathOptions {
  readonly name: string;
  readonly clock: SimClock;
  readonly network: SimNetwork;
  readonly crypto: Crypto;
  readonly endpoint: Endpoint;
  readonly onException: (exception: DatapathException) => void;
  readonly onInner: (packet: InnerPacket) => void;
}

/** The packet engine of a simulated host: {@link PacketEngine} between the simulated network and no device at all. */
export class SimDatapath implements Datapath {
  readonly info: DatapathInfo;
  readonly #clock: SimClock;
  readonly #network: SimNetwork;
  readonly #endpoint: Endpoint;
  readonly #onException: (exception: DatapathException) => void;
  readonly #engine: PacketEngine;
  readonly #unbind: () => void;
  readonly #waiting: DatapathException[] = [];
  /** Of the sessions that were installed, for tests; those the engine has forgotten too. */
  readonly #keys = new Map<number, DatapathSession>();

  constructor(options: SimDatapathOptions) {
    const { name, clock, network, crypto, endpoint, onInner } = options;
    this.#clock = clock;
    this.#network = network;
    this.#endpoint = endpoint;
    this.#onException = options.onException;
    const output = {
      toUdp: (to: Endpoint, datagram: Uint8Array): void => network.send(endpoint, to, datagram),
      toTun: (packet: Uint8Array): void => {
        const inner = decodeInnerPacket(packet);
        if (inner !== undefined) onInner(inner);
      },
      report: (exception: DatapathException): boolean => this.#waiting.push(exception) > 0,
    };
    const random = SeededRandom.named(endpoint.port, `engine of ${name}`);
    this.#engine = new PacketEngine({ crypto, random, mtu: MTU, output });
    this.info = { backend: "twin", tunName: "mesh0", mtu: MTU, udpPort: endpoint.port, isDualStack: true };
    this.#unbind = network.bind(name, endpoint, (from, bytes) => {
      this.#engine.fromUdp(from, bytes, clock.now());
      this.#tell();
    });
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

  setEndpoint(slot: PeerSlot, endpoint: Endpoint | undefined): void {
    this.#engine.setEndpoint(slot, endpoint, this.now());
    this.#tellSoon();
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

  sendDatagram(to: Endpoint, bytes: Uint8Array): void {
    this.#engine.noteSent(to, this.now());
    this.#network.send(this.#endpoint, to, bytes);
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
    this.#unbind();
    this.#engine.clear();
    return Promise.resolve();
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

  /** As the real engine: never inside a call, which a node makes in the middle of its effects. */
  #tellSoon(): void {
    if (this.#waiting.length > 0) this.#clock.at(this.now(), () => this.#tell());
  }

  #tell(): void {
    for (const exception of this.#waiting.splice(0)) this.#onException(exception);
  }
}
