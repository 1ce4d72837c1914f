import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { type Endpoint, type Ip, parseIp } from "@mesh/core/ports";
import { eventually } from "./eventually.ts";

/** The other end of a datapath's UDP: a plain socket that remembers what it got. */
export class Remote {
  readonly #socket: Socket;
  readonly #received: { readonly bytes: Buffer; readonly port: number }[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (bytes, { port }) => this.#received.push({ bytes, port }));
  }

  /** On any address of this host's loopback. */
  static async open(address: string = "127.0.0.1"): Promise<Remote> {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    socket.bind(0, address);
    await once(socket, "listening");
    return new Remote(socket);
  }

  get endpoint(): Endpoint {
    const { address, port } = this.#socket.address();
    return { ip: parseIp(address) as Ip, port };
  }

  /** To a port on the same loopback address. Lets the event loop turn: a datapath on this thread must be able to read. */
  send(bytes: Uint8Array, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const sent = (error: Error | null): unknown => (error === null ? setImmediate(resolve) : reject(error));
      this.#socket.send(bytes, port, this.#socket.address().address, sent);
    });
  }

  /** The oldest datagram not yet taken; waits for it. */
  async next(): Promise<Buffer> {
    return (await this.nextFrom()).bytes;
  }

  /** The same, and the port that it came from. */
  async nextFrom(): Promise<{ readonly bytes: Buffer; readonly port: number }> {
    await eventually("a datagram arrives", () => this.#received.length > 0);
    const next = this.#received.shift();
    assert.ok(next !== undefined);
    return next;
  }

  /** Datagrams not yet taken. */
  get waiting(): number {
    return this.#received.length;
  }

  close(): void {
    this.#socket.close();
  }
}

export interface RemoteKeys {
  readonly localIndex: number; // the datapath's
  readonly remoteIndex: number; // ours
  readonly sendKey: Uint8Array; // the datapath seals with it
  readonly receiveKey: Uint8Array;
}

/** The remote half of a session, on node:crypto: WireGuard transport messages (whitepaper 5.4.6). */
export class RemoteSession {
  readonly keys: RemoteKeys;
  counter = 0n;

  constructor(keys: RemoteKeys) {
    this.keys = keys;
  }

  /** Header, then the packet padded with zeros to 16 and sealed. */
  seal(packet: Uint8Array, counter: bigint = this.counter++): Buffer {
    const header = Buffer.alloc(16);
    header[0] = 4;
    header.writeUInt32LE(this.keys.localIndex, 4);
    header.writeBigUInt64LE(counter, 8);
    const padded = Buffer.alloc(Math.ceil(packet.length / 16) * 16);
    padded.set(packet);
    const cipher = createCipheriv("chacha20-poly1305", this.keys.receiveKey, nonce(counter), { authTagLength: 16 });
    return Buffer.concat([header, cipher.update(padded), cipher.final(), cipher.getAuthTag()]);
  }

  keepalive(): Buffer {
    return this.seal(new Uint8Array());
  }

  /** Throws when it is not authentic or for another session. */
  open(datagram: Buffer): { readonly counter: bigint; readonly plaintext: Buffer } {
    if (datagram.readUInt32LE(0) !== 4) throw new Error("not transport data");
    if (datagram.readUInt32LE(4) !== this.keys.remoteIndex) throw new Error("for another session");
    const counter = datagram.readBigUInt64LE(8);
    const decipher = createDecipheriv("chacha20-poly1305", this.keys.sendKey, nonce(counter), { authTagLength: 16 });
    decipher.setAuthTag(datagram.subarray(-16));
    return { counter, plaintext: Buffer.concat([decipher.update(datagram.subarray(16, -16)), decipher.final()]) };
  }
}

function nonce(counter: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64LE(counter, 4);
  return bytes;
}
