import { PacketEngine } from "@mesh/core/engine";
import { nodeCrypto, nodeRandom } from "@mesh/core/node-crypto";
import type {
  Datapath,
  DatapathCounters,
  DatapathInfo,
  DatapathOptions,
  DatapathSession,
  ForwardingTable,
  Millis,
  PeerSlot,
  PeerTraffic,
  RelayTable,
  SocketId,
  Way,
} from "@mesh/core/ports";
import { noPerl, portTaken, tunRefused, unavailable } from "../open-fault.ts";
import { ExceptionQueue } from "./exception-queue.ts";
import { openTunRelay, type TunRelay } from "./tun-relay.ts";
import { FIRST_BUFFER_BYTES, FURTHER_BUFFER_BYTES, openUdpSocket, type UdpOpened, type UdpSocket } from "./udp-socket.ts";

export interface TwinDatapathOptions extends DatapathOptions {
  /** CLOCK_BOOTTIME in milliseconds. */
  readonly now: () => Millis;
}

/**
 * The data plane without native code: core's {@link PacketEngine}, sockets of node:dgram and a TUN device that a small
 * process holds. All on JavaScript's thread: slow, and otherwise as the native engine. Throws MeshError as openDatapath does.
 */
export function openTwinDatapath(options: TwinDatapathOptions): Datapath {
  return new TwinDatapath(options);
}

class TwinDatapath implements Datapath {
  readonly info: DatapathInfo;
  readonly #now: () => Millis;
  readonly #engine: PacketEngine;
  readonly #exceptions: ExceptionQueue;
  /** The first one is there until close. */
  readonly #udp = new Map<SocketId, UdpSocket>();
  readonly #tun: TunRelay;
  #hasFailed = false;
  #closed: Promise<void> | undefined;

  constructor(options: TwinDatapathOptions) {
    const { tunName, mtu, udpPort } = options;
    if (!Number.isInteger(mtu) || mtu < 576 || mtu > 65_535) throw new RangeError(`no MTU: ${mtu}`);
    if (!Number.isInteger(udpPort) || udpPort < 0 || udpPort > 65_535) throw new RangeError(`no port: ${udpPort}`);
    this.#now = options.now;
    this.#exceptions = new ExceptionQueue((batch) => options.onExceptions(batch));
    this.#engine = new PacketEngine({
      crypto: nodeCrypto(),
      random: nodeRandom(),
      mtu,
      output: {
        toUdp: ({ endpoint, socket }, datagram, ttl) => this.#udp.get(socket)?.send(endpoint, datagram, ttl),
        toTun: (packet) => {
          if (!this.#tun.write(packet)) this.#engine.count("tunWriteErrors");
        },
        report: (exception) => this.#exceptions.push(exception),
      },
    });
    const udp = this.#openFirst(udpPort);
    try {
      this.#tun = this.#openTun(tunName);
    } catch (error) {
      void udp.close();
      throw error;
    }
    this.info = { backend: "twin", tunName, mtu, udpPort: udp.port, isDualStack: udp.isDualStack };
  }

  now(): Millis {
    this.#open();
    return this.#now();
  }

  setHandshakeKey(publicKey: Uint8Array): void {
    if (publicKey.length !== 32) throw new RangeError("a public key has 32 bytes");
    this.#open().setHandshakeKey(publicKey);
  }

  publishTable(table: ForwardingTable): void {
    this.#open().publishTable(table);
  }

  setWays(slot: PeerSlot, ways: readonly Way[]): void {
    this.#open().setWays(slot, ways, this.#now());
  }

  setRelay(table: RelayTable): void {
    this.#open().setRelay(table, this.#now());
  }

  installSession(session: DatapathSession): void {
    this.#open().installSession(session, this.#now());
  }

  dropSession(localIndex: number): void {
    this.#open().dropSession(localIndex, this.#now());
  }

  sendKeepalive(slot: PeerSlot): void {
    this.#open().sendKeepalive(slot, this.#now());
  }

  sendDatagram(way: Way, bytes: Uint8Array, { ttl }: { readonly ttl?: number } = {}): void {
    this.#open().sendDatagram(way, bytes, { ttl, now: this.#now() });
  }

  openSockets(count: number): readonly SocketId[] {
    const engine = this.#open();
    const opened: SocketId[] = [];
    while (opened.length < count) {
      const id = engine.takeSocket();
      if (id === undefined) break;
      if (!this.#openUdp(id, { port: 0, bufferBytes: FURTHER_BUFFER_BYTES }).ok) {
        engine.releaseSocket(id);
        break;
      }
      opened.push(id);
    }
    return opened;
  }

  closeSockets(sockets: readonly SocketId[]): void {
    const engine = this.#open();
    for (const id of sockets) {
      if (!engine.releaseSocket(id)) continue;
      void this.#udp.get(id)?.close();
      this.#udp.delete(id);
    }
  }

  awaitTraffic(): void {
    this.#open().awaitTraffic();
  }

  readTraffic(slot: PeerSlot): PeerTraffic {
    return this.#open().readTraffic(slot);
  }

  readCounters(): DatapathCounters {
    return this.#open().readCounters();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#exceptions.close();
    this.#engine.clear();
    await Promise.all([...[...this.#udp.values()].map((socket) => socket.close()), this.#tun.close()]);
  }

  #open(): PacketEngine {
    if (this.#closed !== undefined) throw new TypeError("the datapath is closed");
    return this.#engine;
  }

  #openFirst(port: number): UdpSocket {
    const opened = this.#openUdp(0, { port, bufferBytes: FIRST_BUFFER_BYTES });
    if (opened.ok) return opened.socket;
    throw opened.errno === "EADDRINUSE" ? portTaken(port) : unavailable(`udp: ${opened.errno}`);
  }

  #openUdp(id: SocketId, options: { readonly port: number; readonly bufferBytes: number }): UdpOpened {
    const opened = openUdpSocket(options, {
      onDatagram: (endpoint, bytes) => {
        if (this.#isMoving()) this.#engine.fromUdp({ endpoint, socket: id }, bytes, this.#now());
      },
      onSendError: () => this.#engine.count("udpSendErrors"),
      onBroken: (reason) => this.#fail("UDP socket", reason),
    });
    if (opened.ok) this.#udp.set(id, opened.socket);
    return opened;
  }

  #openTun(name: string): TunRelay {
    const opened = openTunRelay(name, {
      onPacket: (packet) => {
        if (this.#isMoving()) this.#engine.fromTun(packet, this.#now());
      },
      onRefused: (count) => this.#engine.count("tunWriteErrors", count),
      onEnd: (reason) => this.#fail("TUN device", reason),
    });
    if (opened.ok) return opened.relay;
    throw opened.fault === "no-perl" ? noPerl() : tunRefused(name, opened.errno);
  }

  #isMoving(): boolean {
    return this.#closed === undefined && !this.#hasFailed;
  }

  #fail(device: string, reason: string): void {
    if (!this.#isMoving()) return;
    this.#hasFailed = true;
    this.#exceptions.push({ type: "engine-failed", reason: `${device}: ${reason}` });
  }
}
