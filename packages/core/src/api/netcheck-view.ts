import { flag, list, number, oneOf, openObject, optional, type Shape, text } from "../config/shape.ts";
import { type HealthView, healthShape, version1 } from "./views.ts";

/**
 * What the network around this node lets it do, as the running agent sees it. Instants are wall milliseconds since 1970; durations are
 * milliseconds.
 */
export interface NetcheckView {
  readonly version: 1;
  readonly udp: UdpView;
  readonly mapping: MappingView;
  /** Where peers see this node's datagrams come from, the latest word of each. */
  readonly seen: readonly SeenView[];
  /** Others have reached this node unasked: no NAT or firewall stands before it. */
  readonly reachable: boolean;
  readonly ipv6: Ipv6View;
  /** The members that this node keeps a way open to, the one in use first. */
  readonly homes: readonly RelayView[];
  /** All members that relay, homes included; the nearest first. */
  readonly relays: readonly RelayView[];
  /** What the router was asked to let in: absent as long as no router is asked. */
  readonly portMapping?: PortMappingView;
  /** Hosts behind the same NAT reach each other by its public address; absent: not known. */
  readonly hairpin?: boolean;
  /** As in StatusView. */
  readonly health: readonly HealthView[];
}

export interface UdpView {
  /** `works`: a peer answered lately. `silent`: peers were asked and none answered. `unknown`: nobody was asked. */
  readonly state: "works" | "silent" | "unknown";
  /** Peers that answered lately. */
  readonly answeredBy: number;
  readonly answeredAt?: number;
}

/**
 * What stands between this node and those who see it (RFC 4787, section 4.1). `none`: they see its own address. `unknown`: nobody
 * has said anything, or a NAT is there and one peer alone has seen it, which cannot tell the kinds apart.
 */
export type MappingView = "none" | "endpoint-independent" | "endpoint-dependent" | "unknown";

export interface SeenView {
  readonly endpoint: string;
  /** Names of those who see it there. */
  readonly by: readonly string[];
  /** When the last of them said so. */
  readonly at: number;
}

export interface Ipv6View {
  /** Global addresses of this host. */
  readonly addresses: readonly string[];
  /** A peer answered over IPv6 lately. */
  readonly works: boolean;
}

export interface RelayView {
  readonly name: string;
  readonly id: string;
  /** It answered when it was asked last. */
  readonly answers: boolean;
  /** By which way it was asked last: `direct 198.51.100.2:51820`. */
  readonly path?: string;
  /** Of its last answer. */
  readonly rttMs?: number;
  readonly answeredAt?: number;
  /** It hears from this node at least this often; absent: only when there is something to say. */
  readonly everyMs?: number;
}

export interface PortMappingView {
  /** `pcp`, `nat-pmp`, `upnp`; of a router that maps nothing, those that it was asked by. */
  readonly protocol: string;
  /** Where the router lets others in. */
  readonly endpoint?: string;
}

export const mappingShape: Shape<MappingView> = oneOf("none", "endpoint-independent", "endpoint-dependent", "unknown");

const relayShape: Shape<RelayView> = openObject({
  name: text,
  id: text,
  answers: flag,
  path: optional(text),
  rttMs: optional(number),
  answeredAt: optional(number),
  everyMs: optional(number),
});

export const netcheckShape: Shape<NetcheckView> = openObject({
  version: version1,
  udp: openObject({ state: oneOf("works", "silent", "unknown"), answeredBy: number, answeredAt: optional(number) }),
  mapping: mappingShape,
  seen: list(openObject({ endpoint: text, by: list(text), at: number })),
  reachable: flag,
  ipv6: openObject({ addresses: list(text), works: flag }),
  homes: list(relayShape),
  relays: list(relayShape),
  portMapping: optional(openObject({ protocol: text, endpoint: optional(text) })),
  hairpin: optional(flag),
  health: list(healthShape),
});
