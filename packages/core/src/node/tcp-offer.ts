import type { Endpoint } from "../address/endpoint.ts";
import { type Ip, isPrivate } from "../address/ip.ts";
import type { InviteMember } from "../membership/invite.ts";
import { MAX_INVITE_MEMBERS, MAX_MEMBER_ENDPOINTS } from "../membership/invite.ts";
import type { EndpointRecord } from "../records/endpoint-record.ts";

/** Addresses of one member at which it is tried by TCP. */
const MAX_TCP_RELAY_ENDPOINTS = 4;

type Place = Pick<EndpointRecord, "udp" | "reflexive" | "tcp" | "tcpRelay">;
type InvitePlace = Place & Pick<EndpointRecord, "node" | "isReachable">;

/** Where a member takes TLS WebSocket: at its public addresses; at all it has where none is public. */
export function tcpRelayEndpoints({ udp, reflexive, tcp, tcpRelay }: Place): readonly Endpoint[] {
  if (tcpRelay === 0) return [];
  const ips: readonly Ip[] = [...new Set([...udp, ...tcp, ...reflexive].map(({ ip }) => ip))];
  const open = ips.filter((ip) => !isPrivate(ip));
  return (open.length > 0 ? open : ips).slice(0, MAX_TCP_RELAY_ENDPOINTS).map((ip) => ({ ip, port: tcpRelay }));
}

/**
 * What an invite says of members: where their control plane is, and last, where they take TLS WebSocket. Those that are nowhere are left out.
 * `places`: the inviting member first. Where somebody can be reached from everywhere they come first, the inviting member is named for
 * those on its own network, and nobody else's private addresses are: no joiner elsewhere could use them.
 */
export function inviteMembers(places: readonly InvitePlace[]): readonly InviteMember[] {
  const named = places
    .map((place) => {
      const relays = tcpRelayEndpoints(place);
      const endpoints = [...place.tcp.slice(0, MAX_MEMBER_ENDPOINTS - relays.length), ...relays];
      return { node: place.node, endpoints, isOpen: place.isReachable && endpoints.some(({ ip }) => !isPrivate(ip)) };
    })
    .filter(({ endpoints }) => endpoints.length > 0);
  const open = named.filter(({ isOpen }) => isOpen);
  const inviting = named.filter(({ node, isOpen }) => !isOpen && node === places[0]?.node);
  return (open.length === 0 ? named : [...open.slice(0, MAX_INVITE_MEMBERS - inviting.length), ...inviting]).map(({ node, endpoints }) => ({
    node,
    endpoints,
  }));
}
