import { type AddressPlan, isMeshAddress } from "../address/address-plan.ts";
import type { Endpoint } from "../address/endpoint.ts";
import { isUnicast } from "../address/ip.ts";

/** Endpoints of one peer that are tried at once. Bounds what a hostile record makes us send. */
export const MAX_CANDIDATES = 16;

/**
 * May a peer's claim to be reachable there be tried? Hostile input: a record must not make us probe ourselves, groups,
 * system services, or the mesh through the mesh.
 */
export function isUsableCandidate(plan: AddressPlan, { ip, port }: Endpoint): boolean {
  return (port >= 1024 || port === 443) && isUnicast(ip) && !isMeshAddress(plan, ip);
}
