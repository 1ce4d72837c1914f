import assert from "node:assert/strict";
import { test } from "node:test";
import { type Endpoint, type ForwardingRoute, MAX_PEERS, parseEndpoint, parsePrefix } from "@mesh/core/ports";
import {
  decodeExceptions,
  decodeSockets,
  encodeMembers,
  encodeSockets,
  encodeTable,
  encodeWays,
  readCounters,
  readTraffic,
  STATS_WORDS,
} from "./addon-codec.ts";

test("a table is packed as layouts.h reads it", () => {
  const table = { peers: [1, 0x1234, 1], roaming: [0x1234, 0x1234], routes: [route("10.1.2.0/24", 0x1234), route("fd00::/8", 1)] };
  const { slots, roaming, routes } = encodeTable(table);
  assert.equal(hex(slots), "01003412");
  assert.equal(hex(roaming), "3412");
  assert.equal(hex(routes), `0418${"3412"}0a010200${"00".repeat(12)}` + `0608${"0100"}fd${"00".repeat(15)}`);
  const empty = new Uint8Array();
  assert.deepEqual(encodeTable({ peers: [], roaming: [], routes: [] }), { slots: empty, roaming: empty, routes: empty });
});

test("a table that contradicts itself is a RangeError", () => {
  assert.throws(() => encodeTable({ peers: [1], roaming: [], routes: [route("10.0.0.0/8", 2)] }), RangeError);
  assert.throws(() => encodeTable({ peers: [1], roaming: [2], routes: [] }), RangeError);
  for (const slot of [-1, 1.5, MAX_PEERS, Number.NaN]) {
    assert.throws(() => encodeTable({ peers: [slot], roaming: [], routes: [] }), RangeError);
  }
});

test("a way is an address, a big-endian port, a socket and what a relay is told", () => {
  const straight = `${"00".repeat(10)}ffffc0000201ca6c`;
  const v6 = "20010db80000000000000000000000010001";
  assert.equal(hex(encodeWays([{ endpoint: endpoint("192.0.2.1:51820") }])), straight + "00".repeat(14));
  const relay = { from: 0x0102, to: 0x0304, pass: 0xfedc_ba98 };
  assert.equal(
    hex(
      encodeWays([
        { endpoint: endpoint("192.0.2.1:51820"), socket: 512 },
        { endpoint: endpoint("[2001:db8::1]:1"), relay },
      ]),
    ),
    `${straight}0002${"00".repeat(12)}${v6}00000201040398badcfe01000000`,
  );
  assert.equal(encodeWays([]).length, 0);
});

test("members of a relay are a slot, a number and a pass", () => {
  assert.equal(hex(encodeMembers([{ slot: 0x1234, number: 0xfffe, pass: 0xfedc_ba98 }])), "3412feff98badcfe");
});

test("sockets are two bytes each, there and back", () => {
  const sockets = [0, 1, 511, 512];
  assert.equal(hex(encodeSockets(sockets)), "00000100ff010002");
  assert.deepEqual(decodeSockets(encodeSockets(sockets)), sockets);
});

test("exceptions come out as values with memory of their own", () => {
  const datagram = record(0, { ip: `${"00".repeat(10)}ffffc0000201`, port: 51_820, at: 77_250n, payload: "216d7368aa" });
  const relayed = record(0, { ip: "20010db8000000000000000000000001", port: 1, at: 1n, payload: "21", socket: 512, relay: [7, 0x0104] });
  const wanted = record(1, { slot: 5 });
  const confirmed = record(2, { slot: 6, localIndex: 0xfedc_ba98 });
  const failed = record(3, { slot: 13, payload: Buffer.from("TUN device").toString("hex") });
  const records = Buffer.concat([datagram, relayed, wanted, confirmed, failed]);
  const exceptions = decodeExceptions(records);
  records.fill(0);
  assert.deepEqual(exceptions, [
    {
      type: "datagram",
      from: { endpoint: endpoint("192.0.2.1:51820"), socket: 0 },
      receivedAt: 77.25,
      bytes: Uint8Array.of(0x21, 0x6d, 0x73, 0x68, 0xaa),
    },
    {
      type: "datagram",
      from: { endpoint: endpoint("[2001:db8::1]:1"), socket: 512, relay: { from: 7, to: 0x0104, pass: 0 } },
      receivedAt: 0.001,
      bytes: Uint8Array.of(0x21),
    },
    { type: "session-wanted", slot: 5 },
    { type: "session-confirmed", slot: 6, localIndex: 0xfedc_ba98 },
    { type: "engine-failed", reason: "TUN device: EACCES" },
  ]);
  assert.deepEqual(decodeExceptions(new Uint8Array()), []);
});

test("counters are summed over their writers, traffic is read from the slot's own record", () => {
  const stats = new BigUint64Array(new SharedArrayBuffer(STATS_WORDS * 8));
  for (let word = 0; word < 72; word++) stats[word] = BigInt(word);
  const counters = readCounters(stats);
  assert.equal(counters.udpMalformed, 0 + 24 + 48);
  assert.equal(counters.exceptionsLost, 12 + 36 + 60);
  assert.equal(counters.sourceOverBudget, 15 + 39 + 63);
  const last = STATS_WORDS - 16;
  for (let word = 0; word < 16; word++) stats[last + word] = BigInt(word + 1);
  assert.deepEqual(readTraffic(stats, MAX_PEERS - 1), {
    sentBytes: 1,
    sentPackets: 2,
    dataSentAt: 3,
    authenticatedSentAt: 4,
    sendCounter: 5,
    receivedBytes: 9,
    receivedPackets: 10,
    dataReceivedAt: 11,
    authenticatedReceivedAt: 12,
  });
  assert.equal(readTraffic(stats, MAX_PEERS - 2).receivedBytes, 0);
  assert.throws(() => readTraffic(stats, MAX_PEERS), RangeError);
});

interface Fields {
  readonly ip?: string;
  readonly port?: number;
  readonly slot?: number;
  readonly at?: bigint;
  readonly localIndex?: number;
  readonly payload?: string;
  readonly socket?: number;
  readonly relay?: readonly [number, number];
}

/** As encode_exception in layouts.h writes it. */
function record(kind: number, fields: Fields): Buffer {
  const payload = Buffer.from(fields.payload ?? "", "hex");
  const bytes = Buffer.alloc(Math.ceil((48 + payload.length) / 8) * 8);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes[4] = kind;
  Buffer.from(fields.ip ?? "", "hex").copy(bytes, 8);
  bytes.writeUInt16LE(fields.port ?? 0, 24);
  bytes.writeUInt16LE(payload.length, 26);
  bytes.writeUInt32LE(fields.slot ?? 0, 28);
  bytes.writeBigUInt64LE(fields.at ?? 0n, 32);
  bytes.writeUInt32LE(fields.localIndex ?? 0, 40);
  bytes.writeUInt16LE(fields.socket ?? 0, 6);
  if (fields.relay !== undefined) bytes[5] = 1;
  for (const [i, number] of (fields.relay ?? []).entries()) bytes.writeUInt16LE(number, 44 + i * 2);
  payload.copy(bytes, 48);
  return bytes;
}

function route(text: string, slot: number): ForwardingRoute {
  const prefix = parsePrefix(text);
  assert.ok(prefix !== undefined);
  return { prefix, slot };
}

function endpoint(text: string): Endpoint {
  const parsed = parseEndpoint(text);
  assert.ok(parsed !== undefined);
  return parsed;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
