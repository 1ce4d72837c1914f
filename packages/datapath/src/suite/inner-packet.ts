import { type Ip, ipBytes, ipFamily, ipFromBytes } from "@mesh/core/ports";

/** An IP packet with a UDP datagram in it, as tests write and read them. */
export interface InnerUdp {
  readonly source: Ip;
  readonly sourcePort: number;
  readonly destination: Ip;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
}

const UDP = 17;

/** IPv4 (RFC 791) or IPv6 (RFC 8200), by the addresses, with all checksums right. */
export function encodeInnerUdp(packet: InnerUdp): Buffer {
  const isV4 = ipFamily(packet.source) === 4;
  const [source, destination] = [ipBytes(packet.source), ipBytes(packet.destination)];
  const udp = Buffer.alloc(8 + packet.payload.length);
  udp.writeUInt16BE(packet.sourcePort, 0);
  udp.writeUInt16BE(packet.destinationPort, 2);
  udp.writeUInt16BE(udp.length, 4);
  udp.set(packet.payload, 8);
  const pseudo = Buffer.concat([source, destination, Buffer.from([0, UDP]), udp.subarray(4, 6), udp]);
  udp.writeUInt16BE(checksum(pseudo) || 0xffff, 6);
  const header = Buffer.alloc(isV4 ? 20 : 40);
  if (isV4) {
    header[0] = 0x45;
    header.writeUInt16BE(header.length + udp.length, 2);
    header[8] = 64;
    header[9] = UDP;
    header.set([...source, ...destination], 12);
    header.writeUInt16BE(checksum(header), 10);
  } else {
    header[0] = 0x60;
    header.writeUInt16BE(udp.length, 4);
    header[6] = UDP;
    header[7] = 64;
    header.set([...source, ...destination], 8);
  }
  return Buffer.concat([header, udp]);
}

/** Trusts the bytes to be a packet without options; they were authenticated. */
export function decodeInnerUdp(packet: Buffer): InnerUdp {
  const isV4 = packet.readUInt8(0) >> 4 === 4;
  const at = isV4 ? 20 : 40;
  const [source, destination] = isV4
    ? [packet.subarray(12, 16), packet.subarray(16, 20)]
    : [packet.subarray(8, 24), packet.subarray(24, 40)];
  return {
    source: ipFromBytes(source),
    sourcePort: packet.readUInt16BE(at),
    destination: ipFromBytes(destination),
    destinationPort: packet.readUInt16BE(at + 2),
    payload: packet.subarray(at + 8, at + packet.readUInt16BE(at + 4)),
  };
}

/** RFC 1071. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const [i, byte] of bytes.entries()) sum += i % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
