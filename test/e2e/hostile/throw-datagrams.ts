/**
 * node throw-datagrams.ts
 *
 * Sends what no honest peer sends to UDP ports, as the DatagramOrder on standard input says, and prints how many datagrams
 * it sent of each kind, as one JSON line. The same order, the same datagrams.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { SeededRandom } from "@mesh/core/testing";

export interface DatagramOrder {
  readonly seed: number;
  readonly count: number;
  readonly routes: readonly DatagramRoute[];
  /** Base64: real datagrams that the target has had, and that it has sent. */
  readonly had: readonly string[];
  readonly sent: readonly string[];
}

export interface DatagramRoute {
  readonly to: { readonly address: string; readonly port: number };
  /** An address of this host, which may be somebody else's too. */
  readonly from: { readonly address: string; readonly port: number };
}

/** 50 each 5 ms: the target handles more, so that few are lost before it could count them; those the kernel counts. */
const BURST = 50;
const PAUSE = 5;
/** One of so many is longer than any frame: its fragments are put together by the target's kernel. */
const LARGE_ONE_IN = 200;

interface Source {
  readonly random: SeededRandom;
  readonly had: readonly Uint8Array[];
  readonly sent: readonly Uint8Array[];
}

const KINDS: Readonly<Record<string, (source: Source) => Uint8Array>> = {
  random: ({ random }) => random.bytes(random.below(LARGE_ONE_IN) === 0 ? 9_000 : random.below(1_500)),
  replayed: ({ random, had }) => real(random, had),
  reflected: ({ random, sent }) => real(random, sent),
  /** A session that exists and a counter that it has not seen yet, near or far; only the tag tells. */
  forged: ({ random, had }) => {
    const transport = had.filter(([first]) => first === 4);
    const header = Uint8Array.from(real(random, transport.slice(-1)).subarray(0, 16));
    header.set(random.bytes(2), random.below(2) === 0 ? 8 : 11);
    return Buffer.concat([header, random.bytes(32 + random.below(1_400))]);
  },
  truncated: ({ random, had }) => {
    const bytes = real(random, had);
    return bytes.subarray(0, random.below(bytes.length));
  },
  flipped: ({ random, had }) => {
    const bytes = Uint8Array.from(real(random, had));
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    return bytes;
  },
  longer: ({ random, had }) => Buffer.concat([real(random, had), random.bytes(1 + random.below(64))]),
  /** The right type and about the right size of a WireGuard message, and nothing right after that. */
  wireguard: ({ random }) => {
    const type = 1 + random.below(4);
    const size = ([148, 92, 64, 32 + random.below(1_400)][type - 1] ?? 0) + (random.below(4) === 0 ? random.below(3) - 1 : 0);
    const reserved = random.below(8) === 0 ? random.bytes(3) : [0, 0, 0];
    return Uint8Array.of(type, ...reserved, ...random.bytes(size - 4));
  },
  /** Our own magic, for a kind that exists or not, and any rest of any length; half of them look right up to the counter. */
  probe: ({ random, had }) => {
    const known = had.filter((bytes) => bytes[0] === 0x21);
    const start = random.below(2) === 0 ? random.pick(known)?.subarray(0, 24) : undefined;
    const made = Uint8Array.of(0x21 + random.below(4), 0x6d, 0x73, 0x68, 1, 0, 0, 0);
    return Buffer.concat([start ?? made, random.bytes(random.below(8) === 0 ? random.below(3_000) : 88)]);
  },
  empty: () => new Uint8Array(),
};

function real(random: SeededRandom, captured: readonly Uint8Array[]): Uint8Array {
  const bytes = random.pick(captured);
  if (bytes === undefined) throw new Error("no real datagrams to start from");
  return bytes;
}

async function main(): Promise<void> {
  const order = JSON.parse(await text(process.stdin)) as DatagramOrder;
  const routes = await Promise.all(order.routes.map(async ({ to, from }) => ({ to, socket: await openSocket(from) })));
  const decode = (base64: string): Uint8Array => Buffer.from(base64, "base64");
  const random = new SeededRandom(order.seed);
  const source: Source = { random, had: order.had.map(decode), sent: order.sent.map(decode) };
  const names = Object.keys(KINDS);
  const counts: Record<string, number> = {};
  for (let n = 0; n < order.count; n++) {
    const kind = names[n % names.length] ?? "";
    const route = random.pick(routes);
    const make = KINDS[kind];
    if (route === undefined || make === undefined) throw new Error("nowhere to send to");
    await send(route.socket, make(source), route.to);
    counts[kind] = (counts[kind] ?? 0) + 1;
    if (n % BURST === BURST - 1) await sleep(PAUSE);
  }
  console.log(JSON.stringify(counts));
  for (const { socket } of routes) socket.close();
}

async function openSocket({ address, port }: DatagramRoute["from"]): Promise<Socket> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4").bind(port, address);
  await once(socket, "listening");
  return socket;
}

function send(socket: Socket, bytes: Uint8Array, { address, port }: DatagramRoute["to"]): Promise<void> {
  return new Promise((resolve, reject) => socket.send(bytes, port, address, (error) => (error === null ? resolve() : reject(error))));
}

if (import.meta.main) await main();
