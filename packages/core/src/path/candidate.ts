import { type AddressPlan, isOverlay } from "../address/address-plan.ts";
import type { Endpoint } from "../address/endpoint.ts";
import { type Ip, ipBytes, ipFamily } from "../address/ip.ts";

/** Endpoints of one peer that are tried at once. Bounds what a hostile record makes us send. */
export const MAX_CANDIDATES = 16;

/**
 * May a peer's claim to be reachable there be tried? Hostile input: a record must not make us probe ourselves, groups,
 * system services, or the mesh through the mesh.
 */
export function isUsableCandidate(plan: AddressPlan, { ip, port }: Endpoint): boolean {
  return (port >= 1024 || port === 443) && isUnicast(ip) && !isOverlay(plan, ip);
}

/** Not unspecified, loopback, link-local, multicast or broadcast. Link-local would need a zone, which a record cannot carry. */
function isUnicast(ip: Ip): boolean {
  const [a = 0, b = 0] = ipBytes(ip);
  if (ipFamily(ip) === 4) return a !== 0 && a !== 127 && a < 224 && !(a === 169 && b === 254);
  return a !== 0xff && !(a === 0xfe && (b & 0xc0) === 0x80) && ip !== "::" && ip !== "::1";
}
