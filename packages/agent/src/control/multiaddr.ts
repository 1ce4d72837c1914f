import { type Endpoint, formatEndpoint, type Ip, ipFamily, type NodeId, parseIp } from "@mesh/core/ports";
import { CODE_IP4, CODE_IP6, CODE_TCP, type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { peerIdOf } from "./peer-id.ts";

/** Where to listen; port 0 lets the kernel choose. */
export function listenAddress(ip: Ip, port: number): Multiaddr {
  return multiaddr(`/ip${ipFamily(ip)}/${ip}/tcp/${port}`);
}

/** With the node's name in it, so that Noise refuses everyone else at that endpoint. */
export function dialAddress(node: NodeId, endpoint: Endpoint): Multiaddr {
  return multiaddr(`/ip${ipFamily(endpoint.ip)}/${endpoint.ip}/tcp/${endpoint.port}/p2p/${peerIdOf(node).toString()}`);
}

/** The address a TCP connection came from or went to. */
export function endpointOf(address: Multiaddr): Endpoint {
  let ip: Ip | undefined;
  let port = 0;
  for (const { code, value } of address.getComponents()) {
    if (code === CODE_IP4 || code === CODE_IP6) ip = parseIp(value ?? "");
    if (code === CODE_TCP) port = Number(value);
  }
  if (ip === undefined) throw new TypeError(`not a TCP address: ${address.toString()}`);
  return { ip, port };
}

export function formatEndpoints(endpoints: readonly Endpoint[]): string {
  return endpoints.map(formatEndpoint).join(", ");
}
