import { nodeCrypto } from "../../node-crypto.ts";
import type { Endpoint } from "../address/endpoint.ts";
import { type Ip, parseIp } from "../address/ip.ts";
import { parsePrefix } from "../address/prefix.ts";
import type { DatapathSession, ForwardingRoute, PeerSlot } from "../ports/datapath.ts";
import { encodeInnerPacket } from "../testing/inner-packet.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import type { Millis } from "../time/millis.ts";
import { type EngineException, PacketEngine } from "./packet-engine.ts";
import type { Hop } from "./ways.ts";

export const MTU = 1420;

/** An engine and all that came out of it. */
export class EngineRig {
  readonly engine: PacketEngine;
  readonly sent: { readonly to: Hop; readonly datagram: Uint8Array; readonly ttl: number | undefined }[] = [];
  readonly delivered: Uint8Array[] = [];
  readonly exceptions: EngineException[] = [];
  /** Whether exceptions are taken. */
  hasRoom = true;

  constructor() {
    this.engine = new PacketEngine({
      crypto: nodeCrypto(),
      random: new SeededRandom(1),
      mtu: MTU,
      output: {
        toUdp: (to, datagram, ttl) => void this.sent.push({ to, datagram, ttl }),
        toTun: (packet) => void this.delivered.push(packet.slice()),
        report: (exception) => {
          if (this.hasRoom) this.exceptions.push(exception);
          return this.hasRoom;
        },
      },
    });
  }

  /** A datagram came in by the first socket. */
  receive(from: Endpoint, datagram: Uint8Array, now: Millis): void {
    this.engine.fromUdp({ endpoint: from, socket: 0 }, datagram, now);
  }

  /** The datagrams sent since the last call. */
  takeSent(): readonly Uint8Array[] {
    return this.sent.splice(0).map(({ datagram }) => datagram);
  }
}

export interface SessionChoice {
  readonly role?: DatapathSession["role"];
  readonly expiresAt?: Millis;
  readonly slot?: PeerSlot;
}

/** Both ends' halves of one session; `id` makes the keys and indices. */
export function sessionPair(
  id: number,
  { role = "initiator", expiresAt = 1e9, slot = 0 }: SessionChoice = {},
): readonly [DatapathSession, DatapathSession] {
  const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
  const [there, back] = [id * 2 + 1, id * 2 + 2];
  const other = role === "initiator" ? "responder" : "initiator";
  return [
    { slot, localIndex: 1_000 + id, remoteIndex: 2_000 + id, sendKey: key(there), receiveKey: key(back), role, expiresAt },
    { slot: 0, localIndex: 2_000 + id, remoteIndex: 1_000 + id, sendKey: key(back), receiveKey: key(there), role: other, expiresAt },
  ];
}

export function route(text: string, slot: PeerSlot): ForwardingRoute {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new TypeError(text);
  return { prefix, slot };
}

export function address(text: string): Ip {
  const ip = parseIp(text);
  if (ip === undefined) throw new TypeError(text);
  return ip;
}

export function endpoint(text: string, port: number = 51_820): Endpoint {
  return { ip: address(text), port };
}

export function packet(source: string, destination: string, ...payload: readonly number[]): Uint8Array {
  return encodeInnerPacket({ source: address(source), destination: address(destination), payload: Uint8Array.from(payload) });
}
