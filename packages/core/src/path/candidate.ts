import { type AddressPlan, isMeshAddress } from "../address/address-plan.ts";
import { type Endpoint, sameEndpoint } from "../address/endpoint.ts";
import { isLoopback, isUnicast } from "../address/ip.ts";
import { formatWay, type SocketId } from "../address/way.ts";
import { type NodeId, shortId } from "../ids/node-id.ts";

/** One way to try to reach a peer: at an endpoint of its own, or by a member that relays (RFC 8445 calls both candidates). */
export type Candidate =
  /** `socket`: of ours, where it is not the first one. */
  { readonly type: "direct"; readonly endpoint: Endpoint; readonly socket?: SocketId } | { readonly type: "relay"; readonly relay: NodeId };

/** Endpoints of one peer that are tried at once. Bounds what a hostile record makes us send. */
export const MAX_ENDPOINTS_TRIED = 16;

/** Relays that are tried at once: the best, a standby, and one more. */
export const MAX_RELAYS_TRIED = 3;

export function direct(endpoint: Endpoint, socket: SocketId = 0): Candidate {
  return socket === 0 ? { type: "direct", endpoint } : { type: "direct", endpoint, socket };
}

export function relayed(relay: NodeId): Candidate {
  return { type: "relay", relay };
}

export function sameCandidate(a: Candidate | undefined, b: Candidate | undefined): boolean {
  if (a?.type === "relay") return b?.type === "relay" && a.relay === b.relay;
  return a !== undefined && b?.type === "direct" && sameEndpoint(a.endpoint, b.endpoint) && a.socket === b.socket;
}

/**
 * By TCP: what this host itself bridges to a connection is a loopback endpoint to the engine. No peer's claim can name one
 * ({@link isUsableCandidate}).
 */
export function isTcpEndpoint({ ip }: Endpoint): boolean {
  return isLoopback(ip);
}

/** What passes a bridge on this host says nothing of where the net sees us, nor whether it lets anyone in. */
export function isDirectByUdp(candidate: Candidate): candidate is Extract<Candidate, { readonly type: "direct" }> {
  return candidate.type === "direct" && !isTcpEndpoint(candidate.endpoint);
}

/** For maps and tests. */
export function formatCandidate(candidate: Candidate): string {
  return candidate.type === "direct" ? formatWay(candidate) : `by ${shortId(candidate.relay)}`;
}

/**
 * May a peer's claim to be reachable there be tried? Hostile input: a record must not make us probe ourselves, groups,
 * system services, or the mesh through the mesh.
 */
export function isUsableCandidate(plan: AddressPlan, { ip, port }: Endpoint): boolean {
  return (port >= 1024 || port === 443) && isUnicast(ip) && !isMeshAddress(plan, ip);
}
