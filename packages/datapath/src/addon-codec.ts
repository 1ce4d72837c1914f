import { getSystemErrorName } from "node:util";
import {
  DATAPATH_COUNTERS,
  type DatapathCounters,
  type DatapathException,
  type ForwardingTable,
  ipBytes,
  ipBytes16,
  ipFamily,
  ipFromBytes,
  MAX_PEERS,
  type PeerSlot,
  type PeerTraffic,
  type RelayTable,
  type SocketId,
  type Way,
} from "@mesh/core/ports";

// Byte layouts shared with the addon. Each is described once, in C++: tables, ways and exceptions in
// native/layouts.h, counters and stamps in native/engine/stats.h. Numbers are little-endian.

/** errno(3) */
const EBADFD = 77;
const ROUTE_BYTES = 20;
const WAY_BYTES = 32;
const MEMBER_BYTES = 8;
const EXCEPTION_HEAD_BYTES = 48;
const COUNTER_BLOCK_WORDS = 24;
const COUNTER_BLOCKS = 3;
const RECORD_WORDS = 16;
export const STATS_WORDS: number = COUNTER_BLOCKS * COUNTER_BLOCK_WORDS + MAX_PEERS * RECORD_WORDS;

export interface EncodedTable {
  readonly slots: Uint8Array;
  readonly roaming: Uint8Array;
  readonly routes: Uint8Array;
}

/** Throws RangeError when a slot is out of range, or one that roams or that a route leads to is not among the peers. */
export function encodeTable(table: ForwardingTable): EncodedTable {
  const peers = new Set(table.peers);
  const slots = encodeSlots(peers);
  for (const slot of table.roaming) if (!peers.has(slot)) throw new RangeError(`slot ${slot} roams, and has no peer`);
  const roaming = encodeSlots(new Set(table.roaming));
  const routes = new Uint8Array(table.routes.length * ROUTE_BYTES);
  const routesView = new DataView(routes.buffer);
  for (const [i, { prefix, slot }] of table.routes.entries()) {
    if (!peers.has(slot)) throw new RangeError(`route ${prefix.ip}/${prefix.length} leads to slot ${slot}, which has no peer`);
    const at = i * ROUTE_BYTES;
    routes[at] = ipFamily(prefix.ip);
    routes[at + 1] = prefix.length;
    routesView.setUint16(at + 2, slot, true);
    routes.set(ipBytes(prefix.ip), at + 4);
  }
  return { slots, roaming, routes };
}

function encodeSlots(slots: ReadonlySet<PeerSlot>): Uint8Array {
  const bytes = new Uint8Array(slots.size * 2);
  const view = new DataView(bytes.buffer);
  for (const [i, slot] of [...slots].entries()) view.setUint16(i * 2, checkSlot(slot), true);
  return bytes;
}

export function encodeWays(ways: readonly Way[]): Uint8Array {
  const bytes = new Uint8Array(ways.length * WAY_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, { endpoint, socket = 0, relay }] of ways.entries()) {
    const at = i * WAY_BYTES;
    bytes.set(ipBytes16(endpoint.ip), at);
    view.setUint16(at + 16, endpoint.port);
    view.setUint16(at + 18, socket, true);
    if (relay === undefined) continue;
    view.setUint16(at + 20, relay.from, true);
    view.setUint16(at + 22, relay.to, true);
    view.setUint32(at + 24, relay.pass, true);
    bytes[at + 28] = 1;
  }
  return bytes;
}

export function encodeMembers(members: RelayTable["members"]): Uint8Array {
  const bytes = new Uint8Array(members.length * MEMBER_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, { slot, number, pass }] of members.entries()) {
    const at = i * MEMBER_BYTES;
    view.setUint16(at, slot, true);
    view.setUint16(at + 2, number, true);
    view.setUint32(at + 4, pass, true);
  }
  return bytes;
}

export function encodeSockets(sockets: readonly SocketId[]): Uint8Array {
  const bytes = new Uint8Array(sockets.length * 2);
  const view = new DataView(bytes.buffer);
  for (const [i, socket] of sockets.entries()) view.setUint16(i * 2, socket, true);
  return bytes;
}

export function decodeSockets(bytes: Uint8Array): readonly SocketId[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(i * 2, true));
}

/** Copies everything out of `records`. */
export function decodeExceptions(records: Uint8Array): DatapathException[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const exceptions: DatapathException[] = [];
  for (let at = 0; at < records.length; at += view.getUint32(at, true)) exceptions.push(decodeException(records, view, at));
  return exceptions;
}

function decodeException(records: Uint8Array, view: DataView, at: number): DatapathException {
  const slot = view.getUint32(at + 28, true);
  const payload = new Uint8Array(records.subarray(at + EXCEPTION_HEAD_BYTES, at + EXCEPTION_HEAD_BYTES + view.getUint16(at + 26, true)));
  switch (records[at + 4]) {
    case 0:
      return {
        type: "datagram",
        from: decodeFrom(records, view, at),
        receivedAt: Number(view.getBigUint64(at + 32, true)) / 1_000,
        bytes: payload,
      };
    case 1:
      return { type: "session-wanted", slot };
    case 2:
      return { type: "session-confirmed", slot, localIndex: view.getUint32(at + 40, true) };
    case 3:
      return { type: "engine-failed", reason: `${new TextDecoder().decode(payload)}: ${failureOf(slot)}` };
    case 4:
      return { type: "traffic-resumed" };
    default:
      throw new TypeError(`the addon reports an exception of an unknown kind: ${records[at + 4]}`);
  }
}

function decodeFrom(records: Uint8Array, view: DataView, at: number): Way {
  const endpoint = { ip: ipFromBytes(records.subarray(at + 8, at + 24)), port: view.getUint16(at + 24, true) };
  const from = { endpoint, socket: view.getUint16(at + 6, true) };
  if (records[at + 5] === 0) return from;
  return { ...from, relay: { from: view.getUint16(at + 44, true), to: view.getUint16(at + 46, true), pass: 0 } };
}

/** What a device's errno says; of EBADFD, which a TUN device that was deleted answers, Node does not know the name. */
function failureOf(errno: number): string {
  return errno === EBADFD ? "it was deleted" : getSystemErrorName(-errno);
}

export function readTraffic(stats: BigUint64Array, slot: PeerSlot): PeerTraffic {
  const base = COUNTER_BLOCKS * COUNTER_BLOCK_WORDS + checkSlot(slot) * RECORD_WORDS;
  const word = (i: number): number => Number(Atomics.load(stats, base + i));
  return {
    sentBytes: word(0),
    sentPackets: word(1),
    dataSentAt: word(2),
    authenticatedSentAt: word(3),
    sendCounter: word(4),
    receivedBytes: word(8),
    receivedPackets: word(9),
    dataReceivedAt: word(10),
    authenticatedReceivedAt: word(11),
  };
}

export function readCounters(stats: BigUint64Array): DatapathCounters {
  const sum = (i: number): number => {
    let total = 0n;
    for (let block = 0; block < COUNTER_BLOCKS; block++) total += Atomics.load(stats, block * COUNTER_BLOCK_WORDS + i);
    return Number(total);
  };
  return Object.fromEntries(DATAPATH_COUNTERS.map((name, i) => [name, sum(i)])) as DatapathCounters;
}

export function checkSlot(slot: PeerSlot): PeerSlot {
  if (!Number.isInteger(slot) || slot < 0 || slot >= MAX_PEERS) throw new RangeError(`no slot ${slot}: slots are 0 to ${MAX_PEERS - 1}`);
  return slot;
}
