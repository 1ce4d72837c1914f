import type { SeededRandom } from "@mesh/core/testing";

/** Bytes of IP packets, right and wrong, as a peer or a program could make them. Addresses of 4 or 16 bytes. */
export interface InnerChoice {
  readonly random: SeededRandom;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly longest: number;
}

const FRAGMENT_HEADER = 44; // IPv6 next header, RFC 8200 section 4.5
const HOP_BY_HOP = 0;

/** A whole packet: plain, with options or extension headers, or a fragment (first, middle or last). */
export function innerPacket({ random, source, destination, longest }: InnerChoice): Buffer {
  const isV4 = source.length === 4;
  const options = isV4 && random.next() < 0.15 ? 4 * (1 + random.below(10)) : 0;
  const header = isV4 ? 20 + options : 40;
  const length = header + random.below(Math.max(1, Math.min(longest - header, random.next() < 0.7 ? 200 : longest)));
  const bytes = Buffer.from(random.bytes(length));
  if (isV4) {
    bytes[0] = 0x40 | (header / 4);
    bytes.writeUInt16BE(length, 2);
    bytes.writeUInt16BE(fragmentWord(random), 6);
    bytes.set(source, 12);
    bytes.set(destination, 16);
  } else {
    bytes[0] = 0x60;
    bytes.writeUInt16BE(length - 40, 4);
    bytes[6] = random.pick([6, 17, 58, FRAGMENT_HEADER, HOP_BY_HOP]) ?? 6;
    bytes.set(source, 8);
    bytes.set(destination, 24);
  }
  return bytes;
}

/** RFC 791: nothing, DF, the first, a middle or the last fragment. */
function fragmentWord(random: SeededRandom): number {
  return random.pick([0, 0, 0x4000, 0x2000, 0x2000 | random.below(0x1fff), random.below(0x1fff)]) ?? 0;
}

/** One thing wrong with it: cut, lengths that lie, another version, a short header; or bytes behind it, which is no fault. */
export function damaged(random: SeededRandom, packet: Buffer): Buffer {
  const bytes = Buffer.from(packet);
  switch (random.below(7)) {
    case 0:
      return bytes.subarray(0, 1 + random.below(bytes.length));
    case 1:
      bytes[0] = (random.below(16) << 4) | ((bytes[0] ?? 0) & 15);
      return bytes;
    case 2:
      bytes[0] = ((bytes[0] ?? 0) & 0xf0) | random.below(16);
      return bytes;
    case 3:
      bytes.writeUInt16BE(random.below(0x1_0000), bytes[0] === 0x60 ? 4 : 2);
      return bytes;
    case 4:
      bytes.writeUInt16BE(random.below(bytes.length + 2), bytes[0] === 0x60 ? 4 : 2);
      return bytes;
    case 5:
      return Buffer.from(random.bytes(1 + random.below(60)));
    default:
      return Buffer.concat([bytes, random.bytes(1 + random.below(40))]);
  }
}
