import { readFileSync } from "node:fs";

/** UDP payloads of a capture, as they went by one port. */
export interface CapturedPayloads {
  readonly toPort: readonly Uint8Array[];
  readonly fromPort: readonly Uint8Array[];
}

// tcpdump's file (draft-ietf-opsawg-pcap): a header of 24 bytes, then per packet 16 bytes, the third word of which is the
// length that follows; all in the machine's byte order. Packets are Ethernet frames.
const FILE_HEADER_BYTES = 24;
const PACKET_HEADER_BYTES = 16;
const ETHERNET_BYTES = 14;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const PROTOCOL_UDP = 17;
const IPV6_BYTES = 40;
const UDP_BYTES = 8;

export function capturedPayloads(file: string, port: number): CapturedPayloads {
  const bytes = readFileSync(file);
  const payloads = { toPort: [] as Uint8Array[], fromPort: [] as Uint8Array[] };
  let offset = FILE_HEADER_BYTES;
  while (offset + PACKET_HEADER_BYTES <= bytes.length) {
    const start = offset + PACKET_HEADER_BYTES;
    offset = start + bytes.readUInt32LE(offset + 8);
    const udp = udpOf(bytes.subarray(start, offset));
    if (udp === undefined) continue;
    const payload = udp.subarray(UDP_BYTES, udp.readUInt16BE(4));
    if (udp.readUInt16BE(0) === port) payloads.fromPort.push(payload);
    if (udp.readUInt16BE(2) === port) payloads.toPort.push(payload);
  }
  return payloads;
}

/** UDP header and payload; undefined for all other packets, and for fragments after the first. */
function udpOf(frame: Buffer): Buffer | undefined {
  const packet = frame.subarray(ETHERNET_BYTES);
  const type = frame.length < ETHERNET_BYTES + IPV6_BYTES ? 0 : frame.readUInt16BE(12);
  if (type === ETHERTYPE_IPV6 && packet[6] === PROTOCOL_UDP) return packet.subarray(IPV6_BYTES);
  const isFirst = (packet.readUInt16BE(6) & 0x1fff) === 0;
  if (type === ETHERTYPE_IPV4 && packet[9] === PROTOCOL_UDP && isFirst) return packet.subarray(((packet[0] ?? 0) & 15) * 4);
  return undefined;
}
