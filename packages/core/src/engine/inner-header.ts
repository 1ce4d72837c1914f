import type { IpFamily } from "../address/ip.ts";

/** What the engine reads of an IP packet: how long it is and between whom. */
export interface InnerHeader {
  readonly family: IpFamily;
  /** By the IP header; at most what there is. Bytes after it are padding. */
  readonly length: number;
  /** 4 or 16 bytes, as they stand: an IPv4-mapped IPv6 address stays IPv6. Views of the packet. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/**
 * undefined unless the bytes begin with a whole IPv4 (RFC 791) or IPv6 (RFC 8200) packet. No jumbograms (RFC 2675): a
 * payload length of 0 is an empty payload.
 */
export function readInnerHeader(bytes: Uint8Array): InnerHeader | undefined {
  if (bytes.length < 20) return undefined;
  const family = (bytes[0] ?? 0) >> 4;
  if (family === 4) {
    const header = ((bytes[0] ?? 0) & 15) * 4;
    const length = u16(bytes, 2);
    if (header < 20 || length < header || length > bytes.length) return undefined;
    return { family, length, source: bytes.subarray(12, 16), destination: bytes.subarray(16, 20) };
  }
  if (family === 6 && bytes.length >= 40) {
    const length = 40 + u16(bytes, 4);
    if (length > bytes.length) return undefined;
    return { family, length, source: bytes.subarray(8, 24), destination: bytes.subarray(24, 40) };
  }
  return undefined;
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
