import { createHmac } from "node:crypto";
import { type Ip, ipBytes, ipFamily, ipFromBytes } from "@mesh/core/ports";

/** Of an IPv6 source, the /64 that one host has all addresses of (RFC 4291, section 2.5.1). */
const IPV6_NETWORK_BYTES = 8;

/**
 * The loopback address that stands for a source to engine and control plane, so that their limits for each source go on working.
 * By a key of ours: else a stranger could choose addresses that fall together with a member's. Never 127.0.x.y, which is this host's.
 */
export function loopbackSource(key: Uint8Array, remote: Ip): Ip {
  const [a = 0, b = 0, c = 0] = createHmac("sha256", key).update(sourceBytes(remote)).digest();
  return ipFromBytes(Uint8Array.of(127, 1 + (a % 254), b, 1 + (c % 254)));
}

/** Whom limits count as one. */
export function sourceName(remote: Ip): string {
  return Buffer.from(sourceBytes(remote)).toString("hex");
}

function sourceBytes(remote: Ip): Uint8Array {
  const bytes = ipBytes(remote);
  return ipFamily(remote) === 4 ? bytes : bytes.subarray(0, IPV6_NETWORK_BYTES);
}
