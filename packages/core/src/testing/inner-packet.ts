import { type Ip, ipBytes, ipFamily, ipFromBytes } from "../address/ip.ts";
import { concatBytes } from "../bytes/bytes.ts";

/** An IP packet as simulations need one: addresses and payload, protocol 253 (RFC 3692, experiments), no checksums. */
export interface InnerPacket {
  readonly source: Ip;
  readonly destination: Ip;
  readonly payload: Uint8Array;
}

export function encodeInnerPacket({ source, destination, payload }: InnerPacket): Uint8Array {
  const isV4 = ipFamily(source) === 4;
  const header = new Uint8Array(isV4 ? 20 : 40);
  const view = new DataView(header.buffer);
  if (isV4) {
    header.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 253]);
    view.setUint16(2, 20 + payload.length);
    header.set(ipBytes(source), 12);
    header.set(ipBytes(destination), 16);
  } else {
    header.set([0x60, 0, 0, 0, 0, 0, 253, 64]);
    view.setUint16(4, payload.length);
    header.set(ipBytes(source), 8);
    header.set(ipBytes(destination), 24);
  }
  return concatBytes(header, payload);
}

/** Padding after the packet's own length is cut off; undefined when the lengths lie. */
export function decodeInnerPacket(bytes: Uint8Array): InnerPacket | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4 && bytes.length >= 20) {
    const length = view.getUint16(2);
    if (length < 20 || length > bytes.length) return undefined;
    return { source: ipFromBytes(bytes.slice(12, 16)), destination: ipFromBytes(bytes.slice(16, 20)), payload: bytes.slice(20, length) };
  }
  if (version === 6 && bytes.length >= 40) {
    const length = 40 + view.getUint16(4);
    if (length > bytes.length) return undefined;
    return { source: ipFromBytes(bytes.slice(8, 24)), destination: ipFromBytes(bytes.slice(24, 40)), payload: bytes.slice(40, length) };
  }
  return undefined;
}
