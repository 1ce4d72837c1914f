/**
 * What a datagram on the one UDP socket is, by its first four bytes: WireGuard's type as a whole little-endian word, or one of ours,
 * which stock WireGuard peers drop silently. Nothing is said about the length.
 */
export type DatagramKind = "handshake" | "transport" | "probe" | "to-relay" | "from-relay" | "unknown";

/** First bytes of our own datagrams: 0x21 probe; 0x22 to be relayed, 0x23 relayed (wire/relay-header.ts). */
export const PROBE_MAGIC: Uint8Array = Uint8Array.of(0x21, 0x6d, 0x73, 0x68); // "!msh"

/** Largest datagram of our own kinds: one Ethernet frame. A padded PING that measures the path MTU is one of them. */
export const MAX_OWN_DATAGRAM_BYTES = 1_500;

export function datagramKind(bytes: Uint8Array): DatagramKind {
  const [first = 0, second, third, fourth] = bytes;
  if (second === 0 && third === 0 && fourth === 0) {
    if (first >= 1 && first <= 3) return "handshake";
    return first === 4 ? "transport" : "unknown";
  }
  const isOurs = second === PROBE_MAGIC[1] && third === PROBE_MAGIC[2] && fourth === PROBE_MAGIC[3];
  if (!isOurs) return "unknown";
  if (first === PROBE_MAGIC[0]) return "probe";
  if (first === 0x22) return "to-relay";
  return first === 0x23 ? "from-relay" : "unknown";
}
