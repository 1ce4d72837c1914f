/** What a datagram on the one UDP socket is, by its first four bytes. Stock WireGuard peers drop our own kinds silently. */
export type DatagramKind = "handshake" | "transport" | "probe" | "unknown";

/** First bytes of our own datagrams: 0x21 probe; 0x22 and 0x23 are kept for relayed packets and relay control. */
export const PROBE_MAGIC: Uint8Array = Uint8Array.of(0x21, 0x6d, 0x73, 0x68); // "!msh"

export function datagramKind(bytes: Uint8Array): DatagramKind {
  if (bytes.length < 4) return "unknown";
  if (PROBE_MAGIC.every((byte, i) => bytes[i] === byte)) return "probe";
  if (bytes[1] !== 0 || bytes[2] !== 0 || bytes[3] !== 0) return "unknown";
  const type = bytes[0] ?? 0;
  if (type >= 1 && type <= 3) return "handshake";
  return type === 4 ? "transport" : "unknown";
}
