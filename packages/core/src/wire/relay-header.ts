import type { RelayHeader } from "../address/way.ts";
import { ByteReader } from "../bytes/byte-reader.ts";
import { ByteWriter } from "../bytes/byte-writer.ts";
import { concatBytes } from "../bytes/bytes.ts";

//  0         4          6        8          12
//  +---------+----------+--------+----------+---------------------------------------+
//  | kind, "msh" | from u16 | to u16 | pass u32 | a whole datagram: WireGuard's or a probe |
//  +---------+----------+--------+----------+---------------------------------------+
// kind 0x22: to be relayed, from the sender to the relay; 0x23: relayed, from the relay to the receiver, with pass 0.
// Numbers big-endian. What it carries is never relayed again: one hop only.
export const RELAY_HEADER_BYTES = 12;

export type RelayLeg = "to-relay" | "from-relay";
const KINDS: Readonly<Record<RelayLeg, number>> = { "to-relay": 0x22, "from-relay": 0x23 };

export function encodeRelayHeader(leg: RelayLeg, { from, to, pass }: RelayHeader): Uint8Array {
  return new ByteWriter()
    .bytes(Uint8Array.of(KINDS[leg], 0x6d, 0x73, 0x68))
    .u16(from)
    .u16(to)
    .u32(pass)
    .finish();
}

/** A datagram with the header before it. */
export function wrapRelayed(leg: RelayLeg, header: RelayHeader, datagram: Uint8Array): Uint8Array {
  return concatBytes(encodeRelayHeader(leg, header), datagram);
}

/** The caller has seen the magic (datagramKind). undefined: nothing follows the header. */
export function unwrapRelayed(bytes: Uint8Array): { readonly header: RelayHeader; readonly datagram: Uint8Array } | undefined {
  if (bytes.length <= RELAY_HEADER_BYTES) return undefined;
  const reader = new ByteReader(bytes);
  reader.bytes(4);
  const header = { from: reader.u16(), to: reader.u16(), pass: reader.u32() };
  return { header, datagram: bytes.subarray(RELAY_HEADER_BYTES) };
}
