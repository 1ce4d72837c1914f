import type { Endpoint } from "../address/endpoint.ts";
import { type Ip, isPrivate } from "../address/ip.ts";
import type { InviteMember } from "../membership/invite.ts";
import { MAX_MEMBER_ENDPOINTS } from "../membership/invite.ts";
import type { EndpointRecord } from "../records/endpoint-record.ts";

/** Addresses of one member at which it is tried by TCP. */
const MAX_TCP_RELAY_ENDPOINTS = 4;

type Place = Pick<EndpointRecord, "udp" | "reflexive" | "tcp" | "tcpRelay">;

/** Where a member takes TLS WebSocket: at its public addresses; at all it has where none is public. */
export function tcpRelayEndpoints({ udp, reflexive, tcp, tcpRelay }: Place): readonly Endpoint[] {
  if (tcpRelay === 0) return [];
  const ips: readonly Ip[] = [...new Set([...udp, ...tcp, ...reflexive].map(({ ip }) => ip))];
  const open = ips.filter((ip) => !isPrivate(ip));
  return (open.length > 0 ? open : ips).slice(0, MAX_TCP_RELAY_ENDPOINTS).map((ip) => ({ ip, port: tcpRelay }));
}

/** What an invite says of members: where their control plane is, and last, where they take TLS WebSocket. Those that are nowhere are left out. */
export function inviteMembers(places: readonly (Place & Pick<EndpointRecord, "node">)[]): readonly InviteMember[] {
  return places
    .map((place) => {
      const relays = tcpRelayEndpoints(place);
      return { node: place.node, endpoints: [...place.tcp.slice(0, MAX_MEMBER_ENDPOINTS - relays.length), ...relays] };
    })
    .filter(({ endpoints }) => endpoints.length > 0);
}
