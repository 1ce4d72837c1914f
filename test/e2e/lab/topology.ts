import type { WireSettings } from "./wire-settings.ts";

/** A small internet as data: nodes are network namespaces, links are veth pairs between them, or wires. */
export interface Topology {
  readonly nodes: readonly NodeSpec[];
  readonly links: readonly LinkSpec[];
}

export interface NodeSpec {
  /** Lower-case letters, digits and hyphens, at most 15. */
  readonly name: string;
  /** A router forwards IPv4 and IPv6. */
  readonly kind: "host" | "router";
  readonly routes: readonly RouteSpec[];
  /** More kernel settings, below /proc/sys/net. */
  readonly settings?: Readonly<Record<string, string>>;
  /** An nftables file, in force before the node has a link. */
  readonly rules?: string;
  readonly bridges?: readonly BridgeSpec[];
}

/** A switch inside a node, whose ports are the ends of links that name it. */
export interface BridgeSpec {
  readonly device: string;
  /** With prefix length. */
  readonly addresses: readonly string[];
}

export interface RouteSpec {
  /** A prefix, or `default`. */
  readonly to: string;
  /** Address of the next hop; its family is the route's. */
  readonly via: string;
}

export interface LinkSpec {
  readonly name: string;
  /** The first end is where captures are taken; the second goes down when the link is unplugged. */
  readonly ends: readonly [LinkEnd, LinkEnd];
  /** Makes the link a wire that delays and loses, instead of a veth pair. Needs a C++ compiler. */
  readonly wire?: WireSettings;
}

export interface LinkEnd {
  readonly node: string;
  /** Name of the device in that node, at most 15 characters. */
  readonly device: string;
  /** With prefix length: `198.18.1.2/24`. */
  readonly addresses: readonly string[];
  /** The bridge of that node that it is a port of. */
  readonly bridge?: string;
}

/** How many hosts `routedCore` has numbers for. */
const MOST_HOSTS = 250;

/**
 * One router in the middle, each host on a subnet of its own: 198.18.n.0/24 (RFC 2544, so no address is private) and
 * 2001:db8:n::/64 (RFC 3849). Hosts are .2, the router is .1. Every host's link is called like the host.
 */
export function routedCore(hosts: readonly string[] = ["host-a", "host-b", "host-c"]): Topology {
  if (hosts.length > MOST_HOSTS) throw new RangeError(`routedCore has numbers for ${MOST_HOSTS} hosts, not ${hosts.length}`);
  const spokes = hosts.map((name, index) => spoke(name, index + 1));
  const router: NodeSpec = { name: "core", kind: "router", routes: [] };
  return { nodes: [router, ...spokes.map(({ node }) => node)], links: spokes.map(({ link }) => link) };
}

function spoke(name: string, n: number): { readonly node: NodeSpec; readonly link: LinkSpec } {
  const net4 = `198.18.${n}`;
  const net6 = `2001:db8:${n.toString(16)}:`;
  return {
    node: {
      name,
      kind: "host",
      routes: [
        { to: "default", via: `${net4}.1` },
        { to: "default", via: `${net6}:1` },
      ],
    },
    link: {
      name,
      ends: [
        { node: name, device: "eth0", addresses: [`${net4}.2/24`, `${net6}:2/64`] },
        { node: "core", device: `to-${n}`, addresses: [`${net4}.1/24`, `${net6}:1/64`] },
      ],
    },
  };
}
