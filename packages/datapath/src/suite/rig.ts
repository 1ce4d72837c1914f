import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { TestContext } from "node:test";
import {
  type Datapath,
  type DatapathCounter,
  type DatapathException,
  type DatapathOptions,
  type ForwardingRoute,
  type ForwardingTable,
  type Ip,
  type PeerSlot,
  parsePrefix,
} from "@mesh/core/ports";
import { eventually } from "./eventually.ts";
import { OUR_PUBLIC_KEY } from "./handshake-message.ts";
import { decodeInnerUdp, encodeInnerUdp, type InnerUdp } from "./inner-packet.ts";
import { Remote, RemoteSession } from "./remote.ts";

export const MTU = 1420;
export const TUN_NAME = "meshsuite0";
export const OUR_V4 = "10.77.0.1" as Ip;
export const OUR_V6 = "fd77::1" as Ip;

/** Slot 0 and 1 have a range of each family, and slot 1 also the upper half of what would be slot 0's. */
export const TABLE: ForwardingTable = {
  peers: [0, 1],
  roaming: [],
  routes: [
    route("10.77.1.0/24", 0),
    route("10.77.1.128/25", 1),
    route("10.77.2.0/24", 1),
    route("fd77::1:0/112", 0),
    route("fd77::2:0/112", 1),
  ],
};
export const PEER_V4 = "10.77.1.5" as Ip;
export const PEER_V6 = "fd77::1:5" as Ip;

export type OpenDatapath = (options: DatapathOptions) => Datapath;
export type ExceptionOf<T extends DatapathException["type"]> = Extract<DatapathException, { type: T }>;

/** A datapath with its TUN up in this network namespace, and a remote for its peers. Closed at the end of the test. */
export class Rig {
  readonly path: Datapath;
  readonly remote: Remote;
  readonly exceptions: DatapathException[];
  #lastIndex = 100;

  private constructor(path: Datapath, remote: Remote, exceptions: DatapathException[]) {
    this.path = path;
    this.remote = remote;
    this.exceptions = exceptions;
  }

  static async open(t: TestContext, open: OpenDatapath): Promise<Rig> {
    const exceptions: DatapathException[] = [];
    const path = open({ tunName: TUN_NAME, mtu: MTU, udpPort: 0, onExceptions: (batch) => exceptions.push(...batch) });
    t.after(() => path.close());
    ip("link", "set", "dev", TUN_NAME, "mtu", String(MTU), "up");
    ip("addr", "add", `${OUR_V4}/16`, "dev", TUN_NAME);
    ip("addr", "add", `${OUR_V6}/64`, "dev", TUN_NAME, "nodad");
    // The kernel adds an IPv6 address at once but its local route a little later, in a work queue.
    await eventually("the IPv6 address works", () => ip("-6", "route", "show", "table", "local").includes(`local ${OUR_V6} `));
    const remote = await Remote.open();
    t.after(() => remote.close());
    path.setHandshakeKey(OUR_PUBLIC_KEY);
    path.publishTable(TABLE);
    return new Rig(path, remote, exceptions);
  }

  /** Gives the slot a session and, unless told otherwise, the remote's endpoint. Returns the remote half. */
  install(slot: PeerSlot, role: "initiator" | "responder", options: { expiresAfter?: number; hasEndpoint?: boolean } = {}): RemoteSession {
    const localIndex = ++this.#lastIndex;
    const keys = {
      localIndex,
      remoteIndex: 0xf000_0000 + localIndex,
      sendKey: key(`send ${localIndex}`),
      receiveKey: key(`receive ${localIndex}`),
    };
    const expiresAt = this.path.now() + (options.expiresAfter ?? 180_000);
    if (options.hasEndpoint !== false) this.path.setWays(slot, [{ endpoint: this.remote.endpoint }]);
    this.path.installSession({
      ...keys,
      slot,
      role,
      expiresAt,
      sendKey: Uint8Array.from(keys.sendKey),
      receiveKey: Uint8Array.from(keys.receiveKey),
    });
    return new RemoteSession(keys);
  }

  setLink(state: "up" | "down"): void {
    ip("link", "set", "dev", TUN_NAME, state);
  }

  /** What the device has been given by the datapath, as the kernel counts. */
  deliveredBytes(): number {
    const [link] = JSON.parse(ip("-s", "-j", "link", "show", "dev", TUN_NAME)) as [{ stats64: { rx: { bytes: number } } }];
    return link.stats64.rx.bytes;
  }

  /** From the remote to the datapath's port. */
  send(bytes: Uint8Array): Promise<void> {
    return this.remote.send(bytes, this.path.info.udpPort);
  }

  /** The next datagram, opened by `session`, as the packet in it. */
  async nextPacket(session: RemoteSession): Promise<InnerUdp> {
    return decodeInnerUdp(session.open(await this.remote.next()).plaintext);
  }

  /** The payload of the next packet. */
  async nextText(session: RemoteSession): Promise<string> {
    return Buffer.from((await this.nextPacket(session)).payload).toString();
  }

  /** The exceptions of one type so far. */
  all<T extends DatapathException["type"]>(type: T): ExceptionOf<T>[] {
    return this.exceptions.filter((exception): exception is ExceptionOf<T> => exception.type === type);
  }

  counted(counter: DatapathCounter, count: number): Promise<void> {
    return eventually(`${counter} is ${count}`, () => this.path.readCounters()[counter] >= count).then(() => {
      assert.equal(this.path.readCounters()[counter], count);
    });
  }
}

/** A program on this host that talks through the tunnel. */
export class App {
  readonly #socket: Socket;
  readonly #received: string[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (bytes, from) => this.#received.push(`${bytes.toString()} from ${from.address}:${from.port}`));
  }

  static async open(t: TestContext, address: Ip): Promise<App> {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    t.after(() => socket.close());
    socket.bind(0, address);
    await once(socket, "listening");
    return new App(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  send(payload: string | Uint8Array, to: Ip, port: number = 7): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.send(payload, port, to, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  /** `text from address:port` */
  async next(): Promise<string> {
    await eventually("a packet comes out of the tunnel", () => this.#received.length > 0);
    return this.#received.shift() as string;
  }

  /** A packet for this program, as a peer would send it. */
  packetFrom(source: Ip, text: string): Buffer {
    const { address, port } = this.#socket.address();
    const payload = Buffer.from(text);
    return encodeInnerUdp({ source, sourcePort: 7, destination: address as Ip, destinationPort: port, payload });
  }
}

export function route(text: string, slot: PeerSlot): ForwardingRoute {
  const prefix = parsePrefix(text);
  assert.ok(prefix !== undefined);
  return { prefix, slot };
}

export function key(label: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(label).digest());
}

/** Runs ip(8) in this network namespace. */
export function ip(...args: readonly string[]): string {
  return execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
