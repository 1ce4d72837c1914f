import type { Endpoint } from "../address/endpoint.ts";
import { type Ip, ipFamily, isPrivate, parseIp } from "../address/ip.ts";
import type { Millis } from "../time/millis.ts";
import type { SeededRandom } from "./seeded-random.ts";
import {
  type BoxStats,
  FirewallBox,
  type GatewayBox,
  type MutableBoxStats,
  NAT_KINDS,
  NatBox,
  type NatKind,
  type NatName,
  UdpBlockBox,
} from "./sim-nat.ts";

/** fw: public addresses behind a stateful filter. udp-block: private addresses, and no UDP passes either way; TCP may be dialled from inside. */
export type SiteKind = NatName | NatKind | "fw" | "udp-block";

export interface SiteOptions {
  readonly kind: SiteKind;
  /** Of the gateway, as its outer side has them: in the carrier's network when `behind` one. Of a `fw`: what its hosts get. */
  readonly publicIps: readonly Ip[];
  /** Whose inside this site's gateway stands in. */
  readonly behind?: SimSite;
  /** Hosts have global IPv6 addresses too, behind a stateful filter without translation. */
  readonly fw6?: boolean;
  /** First three bytes of the hosts' addresses. A network of its own unless told: sites with the same one are usual, and harder. */
  readonly lan?: string;
}

export type Receiver = (from: Endpoint, bytes: Uint8Array) => void;

export interface Socket {
  readonly name: string;
  readonly receive: Receiver;
}

/** One network in which every host reaches every other directly: the internet, or the inside of a site. */
export class Segment {
  readonly #sockets = new Map<Ip, Map<number, Socket>>();
  /** Gateways whose outer side is here, by the addresses that lead to them. */
  readonly #gateways = new Map<Ip, SimSite>();

  bind({ ip, port }: Endpoint, socket: Socket): void {
    if (this.#gateways.get(ip)?.owns(ip) === true) throw new TypeError(`${ip} is a gateway's`);
    const ports = this.#sockets.get(ip) ?? new Map<number, Socket>();
    this.#sockets.set(ip, ports.set(port, socket));
  }

  /** Nothing happens when another one has taken its place. */
  unbind({ ip, port }: Endpoint, socket: Socket): void {
    const ports = this.#sockets.get(ip);
    if (ports?.get(port) !== socket) return;
    ports.delete(port);
    if (ports.size === 0) this.#sockets.delete(ip);
  }

  socketAt({ ip, port }: Endpoint): Socket | undefined {
    return this.#sockets.get(ip)?.get(port);
  }

  hasHost(ip: Ip): boolean {
    return this.#sockets.has(ip);
  }

  gatewayOf(ip: Ip): SimSite | undefined {
    return this.#gateways.get(ip);
  }

  lead(ip: Ip, site: SimSite): void {
    const other = this.#gateways.get(ip);
    if (this.hasHost(ip) || (other !== undefined && other !== site)) throw new TypeError(`${ip} is taken`);
    this.#gateways.set(ip, site);
  }

  unlead(ip: Ip): void {
    this.#gateways.delete(ip);
  }
}

/** A network behind a gateway, and the gateway. */
export class SimSite {
  readonly name: string;
  readonly inside: Segment = new Segment();
  /** Whose inside the gateway's outer side is in; undefined: the internet. */
  readonly behind: SimSite | undefined;
  readonly #stats: MutableBoxStats = { mappings: 0, peakMappings: 0, filtered: 0, refused: 0 };
  readonly #kind: NatKind | "fw" | "udp-block";
  readonly #box4: GatewayBox;
  readonly #box6: GatewayBox | undefined;
  readonly #lan: string;
  readonly #number: number;
  readonly #outside: Segment;
  #publicIps: readonly Ip[];
  #hosts = 0;

  /** `number` tells sites apart: it is in the addresses of their hosts. */
  constructor(
    name: string,
    options: SiteOptions,
    place: { readonly number: number; readonly internet: Segment; readonly random: SeededRandom },
  ) {
    const { kind, publicIps, behind } = options;
    this.name = name;
    this.behind = behind;
    this.#number = place.number;
    this.#kind = typeof kind !== "string" || kind === "fw" || kind === "udp-block" ? kind : NAT_KINDS[kind];
    this.#lan = options.lan ?? `192.168.${1 + ((place.number - 1) % 254)}`;
    this.#outside = behind?.inside ?? place.internet;
    this.#publicIps = publicIps;
    const stats = this.#stats;
    if (this.#kind === "fw") this.#box4 = new FirewallBox({ stats });
    else if (this.#kind === "udp-block") this.#box4 = new UdpBlockBox({ stats });
    else this.#box4 = new NatBox({ kind: this.#kind, publicIps, random: place.random, stats });
    if (options.fw6 === true) this.#box6 = this.#kind === "udp-block" ? this.#box4 : new FirewallBox({ stats });
    this.#lead();
  }

  get stats(): BoxStats {
    return { ...this.#stats };
  }

  /** This site and those it stands behind, from the inside out. */
  get chain(): readonly SimSite[] {
    return [this, ...(this.behind?.chain ?? [])];
  }

  /** Does the gateway itself have this address? A filter's addresses are its hosts'. */
  owns(ip: Ip): boolean {
    return this.#kind !== "fw" && this.#publicIps.includes(ip);
  }

  get isHairpin(): boolean {
    return typeof this.#kind !== "string" && this.#kind.hairpin === true;
  }

  /** What stands in the way of packets between these addresses; undefined: there is no such way out. IPv6 passes a gateway that does not speak of it. */
  boxFor(ip: Ip): GatewayBox | undefined {
    return ipFamily(ip) === 4 ? this.#box4 : this.#box6;
  }

  get hasIpv6(): boolean {
    return this.#box6 !== undefined;
  }

  /** Addresses for one more host. */
  nextIps(): readonly Ip[] {
    const n = this.#hosts++;
    const ip4 = this.#kind === "fw" ? this.#publicIps[n] : parseIp(`${this.#lan}.${10 + n}`);
    const ip6 = this.hasIpv6 ? parseIp(`2001:db8:${this.#number.toString(16)}::${(10 + n).toString(16)}`) : undefined;
    if (ip4 === undefined) throw new TypeError(`${this.name} has no address for another host`);
    return ip6 === undefined ? [ip4] : [ip4, ip6];
  }

  /** Sees to it that packets for a host with an address of its own find it. TypeError for an address that does not belong inside. */
  attach(ip: Ip): void {
    const isPublic = ipFamily(ip) === 6 || this.#kind === "fw";
    if (isPublic === isPrivate(ip) || (ipFamily(ip) === 6 && !this.hasIpv6))
      throw new TypeError(`${ip} is no address of a host in ${this.name}`);
    if (!isPublic) return;
    this.#outside.lead(ip, this);
    if (ipFamily(ip) === 6) for (const site of this.behind?.chain ?? []) site.#outside.lead(ip, site);
  }

  /** The address that what a host dials is seen with outside this gateway. */
  seenAs(ip: Ip, remote: Ip): Ip {
    if (ipFamily(ip) === 6 || this.#kind === "fw") return ip;
    return this.#box4 instanceof NatBox ? this.#box4.publicIpOf(ip, remote) : (this.#publicIps[0] ?? ip);
  }

  /** Live translations now, for tests. */
  mappingsNow(now: Millis): ReturnType<NatBox["mappingsNow"]> {
    return this.#box4 instanceof NatBox ? this.#box4.mappingsNow(now) : [];
  }

  reboot(): void {
    this.#box4.reboot();
    this.#box6?.reboot();
  }

  /** Another public address from now on; a filter has none to change. */
  renumber(publicIp: Ip): void {
    if (this.#kind === "fw") throw new TypeError(`${this.name} does not translate`);
    for (const ip of this.#publicIps) this.#outside.unlead(ip);
    this.#publicIps = [publicIp];
    if (this.#box4 instanceof NatBox) this.#box4.renumber(this.#publicIps);
    this.#lead();
  }

  #lead(): void {
    if (this.#kind === "fw") return;
    for (const ip of this.#publicIps) {
      if (this.behind === undefined && isPrivate(ip)) throw new TypeError(`${ip} is not public`);
      this.#outside.lead(ip, this);
    }
  }
}
