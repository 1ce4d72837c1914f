import { NAT_KINDS, type NatKindName } from "./nat-kinds.ts";
import { CORE_RULES, firewall6Rules, type NatOptions, type NatPlace, natSettings } from "./nat-rules.ts";
import type { LinkEnd, LinkSpec, NodeSpec, RouteSpec, Topology } from "./topology.ts";
import type { WireSettings } from "./wire-settings.ts";

/**
 * An internet in words. Its nodes are `core` in the middle, the public hosts, a gateway `gw-<site>` for each site, the carriers,
 * and the hosts of the sites. Each link is called like what it connects to the rest: a public host, a site (the gateway's way
 * out), a carrier (likewise), a host (its place on the LAN).
 */
export interface InternetSpec {
  /** Hosts with public addresses of both families. */
  readonly public: readonly string[];
  readonly sites: readonly SiteSpec[];
  readonly carriers?: readonly CarrierSpec[];
  /** Milliseconds one way on the link of each public host, site and carrier: makes them wires. */
  readonly delayMs?: number;
  /** By link: makes that one a wire, in place of what `delayMs` says. */
  readonly wires?: Readonly<Record<string, WireSettings>>;
}

export interface SiteSpec extends NatOptions {
  /** At most 12 characters. */
  readonly name: string;
  readonly nat: NatKindName;
  readonly hosts: readonly string[];
  /** The carrier whose network its WAN is in. */
  readonly behind?: string;
  /** Public IPv6 addresses, behind a stateful firewall or open; as IPv4 is where that is public, else none. */
  readonly ipv6?: Ipv6Kind;
  /** First three numbers of the LAN, `192.168.1`. Sites may have the same; each has its own unless given. */
  readonly lan?: string;
}

export type Ipv6Kind = "firewalled" | "open" | "none";

/** A NAT between sites and the core, with 100.64.n.0/24 inside. IPv6 passes it untouched. */
export interface CarrierSpec extends NatOptions {
  readonly name: string;
  readonly nat: NatKindName;
}

export interface Internet {
  readonly topology: Topology;
  /** By site and by carrier. */
  readonly gateways: ReadonlyMap<string, Gateway>;
  /** Of each host on a LAN. */
  readonly homes: ReadonlyMap<string, Home>;
}

export interface Home {
  readonly site: string;
  /** The last part of its addresses, wherever it moves. */
  readonly number: number;
}

/** One NAT and where it is. Networks are without what comes after their last number: `192.168.1`, `2001:db8:1:10`. */
export interface Gateway {
  readonly node: string;
  readonly nat: NatKindName;
  readonly options: NatOptions;
  readonly place: NatPlace;
  readonly ipv6: Ipv6Kind;
  readonly wan: string;
  readonly wan6: string;
  readonly lan: string;
  readonly lan6: string;
  /** The last part of its first address on the WAN. */
  readonly number: number;
  /** The core, or the node of a carrier. */
  readonly upstream: string;
}

const CORE = "core";
const WAN_DEVICE = "wan0";
const LAN_DEVICE = "lan0";
const HOST_DEVICE = "eth0";
/** Gateways have the numbers below. */
const FIRST_HOST = 10;
const MOST_HOSTS = 240;
const MOST_NETWORKS = 250;
/** Between the WAN addresses of gateways behind one carrier: room for a pool and for new ones. */
const CARRIER_STEP = 10;
const MOST_BEHIND_CARRIER = 24;

/** Throws a RangeError for what cannot be built. */
export function planInternet(spec: InternetSpec): Internet {
  checkSpec(spec);
  const carriers = new Map(
    (spec.carriers ?? []).map((carrier, i) => [carrier.name, planCarrier(carrier, i, networkNumber(spec, carrier.name))]),
  );
  const sites = new Map(spec.sites.map((site, i) => [site.name, planSite(site, i, { spec, carriers })]));
  const hosts = spec.sites.flatMap(({ name, hosts: names }) => names.map((host) => ({ host, site: name })));
  const homes = new Map(hosts.map(({ host, site }, i) => [host, { site, number: FIRST_HOST + i }]));
  const gateways = new Map([...carriers, ...sites]);
  const nodes = [
    ...spec.public.map((name) => publicHost(spec, name)),
    ...[...gateways.values()].map((gateway) => gatewayNode(gateway, gateways)),
    ...hosts.map(({ host, site }) => lanHost(host, gatewayOf(gateways, site))),
  ];
  const core: NodeSpec = { name: CORE, kind: "router", routes: routesInto(CORE, gateways), rules: CORE_RULES };
  const links = [
    ...spec.public.map((name) => publicLink(spec, name)),
    ...[...gateways].map(([name, gateway]) => wanLink(name, gateway)),
    ...[...homes].map(([host, home]) => lanLink(host, home.number, gatewayOf(gateways, home.site))),
  ];
  const lanLinks = new Set(homes.keys());
  const wired = links.map((link) => withWire(link, spec.wires?.[link.name] ?? (lanLinks.has(link.name) ? undefined : delayOf(spec))));
  return { topology: { nodes: [core, ...nodes], links: wired }, gateways, homes };
}

/** The gateway's nftables file, for both families. */
export function gatewayRules({ nat, place, options, ipv6 }: Gateway): string {
  return NAT_KINDS[nat].rules(place, options) + (ipv6 === "firewalled" ? firewall6Rules(place) : "");
}

export function gatewayOf(gateways: ReadonlyMap<string, Gateway>, name: string): Gateway {
  const gateway = gateways.get(name);
  if (gateway === undefined) throw new RangeError(`no site or carrier ${name}, only ${[...gateways.keys()].join(", ")}`);
  return gateway;
}

/** Its addresses on that LAN, with prefix length. */
export function lanAddresses({ lan, lan6, ipv6 }: Gateway, number: number): readonly string[] {
  return [`${lan}.${number}/24`, ...(ipv6 === "none" ? [] : [`${address6(lan6, number)}/64`])];
}

/** Default routes of whoever is on that LAN. */
export function lanRoutes({ lan, lan6, ipv6 }: Gateway): readonly RouteSpec[] {
  return defaultRoutes(`${lan}.1`, ipv6 === "none" ? undefined : address6(lan6, 1));
}

/** What the gateway's upstream must know to reach public addresses behind it. */
export function routesBehind({ nat, wan, wan6, lan, lan6, number, ipv6, upstream }: Gateway): readonly RouteSpec[] {
  const to4 = isPublic(nat) ? [{ to: `${lan}.0/24`, via: `${wan}.${number}` }] : [];
  // A carrier's sites are within its own /48.
  const inside6 = upstream === CORE ? `${wan6}::/48` : `${lan6}::/64`;
  return ipv6 === "none" ? to4 : [...to4, { to: inside6, via: address6(wan6, number) }];
}

function networkNumber(spec: InternetSpec, name: string): number {
  const direct = spec.sites.filter(({ behind }) => behind === undefined).map((site) => site.name);
  return [...spec.public, ...(spec.carriers ?? []).map((carrier) => carrier.name), ...direct].indexOf(name) + 1;
}

function planCarrier({ name, nat, ...options }: CarrierSpec, index: number, n: number): Gateway {
  const lan = `100.64.${index + 1}`;
  const networks = { ...coreNetwork(n), lan, lan6: `2001:db8:${n.toString(16)}:1` };
  return { node: name, nat, options, ipv6: "open", ...networks, upstream: CORE, place: placeOf(networks, nat) };
}

function planSite(
  site: SiteSpec,
  index: number,
  known: { readonly spec: InternetSpec; readonly carriers: ReadonlyMap<string, Gateway> },
): Gateway {
  const { name, nat, hosts: _hosts, behind, ipv6 = isPublic(nat) ? publicIpv6(nat) : "none", lan, ...options } = site;
  const carrier = behind === undefined ? undefined : gatewayOf(known.carriers, behind);
  const n = networkNumber(known.spec, behind ?? name);
  const rank = known.spec.sites.filter((other) => other.behind === behind).indexOf(site);
  const outside = carrier === undefined ? coreNetwork(n) : { wan: carrier.lan, wan6: carrier.lan6, number: CARRIER_STEP * (rank + 1) };
  const ownLan = isPublic(nat) ? `198.19.${n}` : `192.168.${index + 1}`;
  const lan6 = `2001:db8:${n.toString(16)}:${(carrier === undefined ? 0x10 : 0x100 + rank).toString(16)}`;
  const networks = { ...outside, lan: lan ?? ownLan, lan6 };
  return { node: `gw-${name}`, nat, options, ipv6, ...networks, upstream: carrier?.node ?? CORE, place: placeOf(networks, nat) };
}

function coreNetwork(n: number): Pick<Gateway, "wan" | "wan6" | "number"> {
  return { wan: `198.18.${n}`, wan6: `2001:db8:${n.toString(16)}`, number: 2 };
}

export function placeOf({ wan, lan, number }: Pick<Gateway, "wan" | "lan" | "number">, nat: NatKindName): NatPlace {
  const wanAddresses = Array.from({ length: NAT_KINDS[nat].wanAddresses }, (_, i) => `${wan}.${number + i}`);
  return { wanDevice: WAN_DEVICE, wanAddresses, lanDevice: LAN_DEVICE, lanPrefix: `${lan}.0/24` };
}

function isPublic(nat: NatKindName): boolean {
  const { class: udp } = NAT_KINDS[nat];
  return udp !== "blocked" && udp.mapping === "none";
}

function publicIpv6(nat: NatKindName): Ipv6Kind {
  return nat === "fw" ? "firewalled" : "open";
}

function publicHost(spec: InternetSpec, name: string): NodeSpec {
  const { wan, wan6 } = coreNetwork(networkNumber(spec, name));
  return { name, kind: "host", routes: defaultRoutes(`${wan}.1`, address6(wan6, 1)) };
}

function publicLink(spec: InternetSpec, name: string): LinkSpec {
  const n = networkNumber(spec, name);
  const { wan, wan6, number } = coreNetwork(n);
  const addresses = [`${wan}.${number}/24`, `${address6(wan6, number)}/64`];
  return { name, ends: [{ node: name, device: HOST_DEVICE, addresses }, coreEnd(n)] };
}

function gatewayNode(gateway: Gateway, gateways: ReadonlyMap<string, Gateway>): NodeSpec {
  const { node, wan, wan6, ipv6, options } = gateway;
  return {
    name: node,
    kind: "router",
    routes: [...defaultRoutes(`${wan}.1`, ipv6 === "none" ? undefined : address6(wan6, 1)), ...routesInto(node, gateways)],
    settings: natSettings(options),
    rules: gatewayRules(gateway),
    bridges: [{ device: LAN_DEVICE, addresses: lanAddresses(gateway, 1) }],
  };
}

function routesInto(node: string, gateways: ReadonlyMap<string, Gateway>): readonly RouteSpec[] {
  return [...gateways.values()].filter(({ upstream }) => upstream === node).flatMap(routesBehind);
}

function wanLink(name: string, { node, wan, wan6, number, ipv6, upstream, place }: Gateway): LinkSpec {
  const addresses = place.wanAddresses.map((address) => `${address}/24`);
  if (ipv6 !== "none") addresses.push(`${address6(wan6, number)}/64`);
  const port: LinkEnd = { node: upstream, device: `c${number}`, addresses: [], bridge: LAN_DEVICE };
  const end = upstream === CORE ? coreEnd(Number(wan.split(".")[2])) : port;
  return { name, ends: [{ node, device: WAN_DEVICE, addresses }, end] };
}

function coreEnd(n: number): LinkEnd {
  const { wan, wan6 } = coreNetwork(n);
  return { node: CORE, device: `to-${n}`, addresses: [`${wan}.1/24`, `${address6(wan6, 1)}/64`] };
}

function lanHost(name: string, gateway: Gateway): NodeSpec {
  return { name, kind: "host", routes: lanRoutes(gateway) };
}

function lanLink(name: string, number: number, gateway: Gateway): LinkSpec {
  const [here, there] = lanDevices(number);
  const end: LinkEnd = { node: name, device: here, addresses: lanAddresses(gateway, number) };
  return { name, ends: [end, { node: gateway.node, ...there }] };
}

/** Of a host's link: its device, and its port at whatever gateway it is plugged into. */
export function lanDevices(number: number): readonly [string, Omit<LinkEnd, "node">] {
  return [HOST_DEVICE, { device: `p${number}`, addresses: [], bridge: LAN_DEVICE }];
}

function defaultRoutes(via4: string, via6: string | undefined): readonly RouteSpec[] {
  return [{ to: "default", via: via4 }, ...(via6 === undefined ? [] : [{ to: "default", via: via6 }])];
}

function address6(network: string, number: number): string {
  return `${network}::${number.toString(16)}`;
}

function delayOf({ delayMs }: InternetSpec): WireSettings | undefined {
  return delayMs === undefined ? undefined : { delayMs };
}

function withWire(link: LinkSpec, wire: WireSettings | undefined): LinkSpec {
  return wire === undefined ? link : { ...link, wire };
}

function checkSpec(spec: InternetSpec): void {
  const { sites, carriers = [] } = spec;
  const hosts = sites.flatMap((site) => site.hosts);
  const links = [...spec.public, ...sites.map(({ name }) => name), ...carriers.map(({ name }) => name), ...hosts];
  const names = [...links, ...sites.map(({ name }) => `gw-${name}`), CORE];
  for (const name of names) if (!/^[a-z0-9-]{1,15}$/.test(name)) throw new RangeError(`${name} is no name for a node`);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new RangeError(`${twice} is there twice`);
  const unknown = Object.keys(spec.wires ?? {}).find((name) => !links.includes(name));
  if (unknown !== undefined) throw new RangeError(`no link ${unknown} can be a wire, only ${links.join(", ")}`);
  if (links.length - hosts.length > MOST_NETWORKS) throw new RangeError(`there are numbers for ${MOST_NETWORKS} networks`);
  if (hosts.length > MOST_HOSTS) throw new RangeError(`there are numbers for ${MOST_HOSTS} hosts`);
  for (const site of sites) checkSite(site, spec);
}

function checkSite({ name, nat, behind, lan, hairpin }: SiteSpec, { sites, carriers = [] }: InternetSpec): void {
  if (hairpin === true && !NAT_KINDS[nat].canHairpin) throw new RangeError(`${name}: ${nat} cannot hairpin`);
  if (isPublic(nat) && (behind !== undefined || lan !== undefined)) throw new RangeError(`${name}: ${nat} has a public LAN of its own`);
  if (behind === undefined) return;
  if (!carriers.some((carrier) => carrier.name === behind)) throw new RangeError(`${name}: no carrier ${behind}`);
  const neighbours = sites.filter((site) => site.behind === behind).length;
  if (neighbours > MOST_BEHIND_CARRIER) throw new RangeError(`${behind} has numbers for ${MOST_BEHIND_CARRIER} sites`);
}
