import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import { type Ip, isPrivate } from "../address/ip.ts";
import type { Millis } from "../time/millis.ts";
import { datagramKind } from "../wire/datagram-kind.ts";
import { SeededRandom } from "./seeded-random.ts";
import type { SequenceDiagram } from "./sequence-diagram.ts";
import type { SimClock } from "./sim-clock.ts";
import { type Receiver, Segment, SimSite, type SiteOptions } from "./sim-site.ts";

/** How every pair of hosts is joined, unless cut. */
export interface LinkQuality {
  /** One way. */
  readonly latency: Millis;
  /** Added at random, 0 to this: datagrams overtake each other. */
  readonly jitter: Millis;
  readonly loss: number; // 0 to 1
  readonly duplication: number; // 0 to 1
}

export interface SendOptions {
  /** Up to NEAR_TTL: ends behind the gateways of the sender's own site. Further unless told. */
  readonly ttl?: number;
  /** Where the sender is, when its address does not say: hosts of several sites may have the same. */
  readonly site?: SimSite | undefined;
}

/** Gateways of one's own are nearer than this, hosts elsewhere are further. */
export const NEAR_TTL = 8;
/** Of latency and jitter, within one site. */
const LAN_SHARE = 0.05;

/** A datagram on its way: where it is, and what its header says there. */
interface Packet {
  /** undefined: on the internet. */
  readonly at: SimSite | undefined;
  readonly from: Endpoint;
  readonly to: Endpoint;
  /** The gateway that has just turned it round, and has still to let it in. */
  readonly turnedBy?: SimSite;
}

/**
 * A flat IP network between simulated hosts: latency, loss, reordering, duplicates, cuts between any two; and sites behind
 * gateways, within sites or not. A datagram's way:
 *
 *   at once:      1. up from the sender's network, through its gateways, until a network knows the destination
 *                 2. a gateway's own address from its inside: turned round there, if the gateway does that
 *                 3. chance: duplicates, loss, delay
 *   at arrival:   4. down through the destination's gateways, which let it in or not by what they know then
 */
export class SimNetwork {
  readonly diagram: SequenceDiagram;
  quality: LinkQuality;
  readonly #clock: SimClock;
  readonly #random: SeededRandom;
  readonly #internet = new Segment();
  readonly #sites: SimSite[] = [];
  readonly #cuts = new Set<string>();
  readonly #sent = new Map<string, number>();
  /** Sees every datagram that is sent, as it leaves the last gateway of its sender: a tap for attackers in tests. */
  onDatagram: ((from: Endpoint, to: Endpoint, bytes: Uint8Array) => void) | undefined;

  constructor(options: {
    readonly clock: SimClock;
    readonly random: SeededRandom;
    readonly diagram: SequenceDiagram;
    readonly quality: LinkQuality;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.diagram = options.diagram;
    this.quality = options.quality;
  }

  /** TypeError when one of its addresses is taken, or cannot be a gateway's there. */
  addSite(name: string, options: SiteOptions): SimSite {
    const random = new SeededRandom(this.#random.below(2 ** 32));
    const site = new SimSite(name, options, { number: this.#sites.length + 1, internet: this.#internet, random });
    this.#sites.push(site);
    return site;
  }

  /** The gateway forgets everything, silently; sequential and random ports start elsewhere. */
  rebootNat(site: SimSite): void {
    site.reboot();
  }

  /** The site's gateway has another address from now on, and has forgotten everything. */
  renumberSite(site: SimSite, publicIp: Ip): void {
    site.renumber(publicIp);
  }

  /** Binds a UDP socket, of a host in a site if one is given. Returns a function that closes it. TypeError when the address is not one for a host there. */
  bind(name: string, endpoint: Endpoint, receive: Receiver, options: { readonly site?: SimSite | undefined } = {}): () => void {
    const socket = { name, receive };
    const segment = this.#segmentOf(options.site);
    options.site?.attach(endpoint.ip);
    segment.bind(endpoint, socket);
    return () => segment.unbind(endpoint, socket);
  }

  cut(a: string, b: string): void {
    this.#cuts.add(pair(a, b));
  }

  heal(a: string, b: string): void {
    this.#cuts.delete(pair(a, b));
  }

  healAll(): void {
    this.#cuts.clear();
  }

  isCut(a: string, b: string): boolean {
    return this.#cuts.has(pair(a, b));
  }

  /** Datagrams that this host has sent, lost ones included. */
  sentBy(name: string): number {
    return this.#sent.get(name) ?? 0;
  }

  send(from: Endpoint, to: Endpoint, bytes: Uint8Array, options: SendOptions = {}): void {
    const origin = options.site ?? this.#siteOf(from);
    const sender = this.#segmentOf(origin).socketAt(from)?.name ?? formatEndpoint(from);
    this.#sent.set(sender, this.sentBy(sender) + 1);
    const packet = this.#leave({ at: origin, from, to });
    this.onDatagram?.(packet?.from ?? from, to, bytes);
    const target = packet === undefined || this.#isStray(packet) ? undefined : this.#lookAhead(packet);
    const isSpent = (options.ttl ?? Number.POSITIVE_INFINITY) <= NEAR_TTL && packet !== undefined && !staysIn(origin, packet);
    const isLocal = origin !== undefined && packet?.at === origin && packet.turnedBy === undefined;
    const copies = this.#random.next() < this.quality.duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const isLost = target === undefined || isSpent || this.isCut(sender, target) || this.#random.next() < this.quality.loss;
      const text = `${datagramKind(bytes)} ${bytes.length} B`;
      this.diagram.add({ at: this.#clock.now(), from: sender, to: target ?? formatEndpoint(to), text, isLost });
      if (isLost || packet === undefined) continue;
      const delay = (this.quality.latency + this.#random.next() * this.quality.jitter) * (isLocal ? LAN_SHARE : 1);
      const arrived = bytes.slice();
      this.#clock.at(this.#clock.now() + delay, () => this.#arrive(packet, { sender, text, bytes: arrived }));
    }
  }

  /**
   * Does a TCP dial to this endpoint, from a host in the one site, come to the host that has it in the other? A gateway lets dials
   * out, and none in. Cuts apart.
   */
  canDial(to: Endpoint, sites: { readonly from: SimSite | undefined; readonly to: SimSite | undefined }): boolean {
    const networks = [...(sites.from?.chain ?? []), undefined];
    const nearer = networks.slice(0, Math.max(0, networks.indexOf(sites.to)));
    return networks.includes(sites.to) && !nearer.some((site) => this.#knows(this.#segmentOf(site), to.ip) || site?.owns(to.ip) === true);
  }

  /** The address that a TCP connection from a host in the one site has for its other end in the other. */
  seenAs(ip: Ip, options: { readonly from: SimSite | undefined; readonly to: SimSite | undefined; readonly remote: Ip }): Ip {
    const chain = options.from?.chain ?? [];
    const passed = options.to === undefined ? chain : chain.slice(0, Math.max(0, chain.indexOf(options.to)));
    return passed.reduce((seen, site) => site.seenAs(seen, options.remote), ip);
  }

  #segmentOf(site: SimSite | undefined): Segment {
    return site?.inside ?? this.#internet;
  }

  /** TypeError when hosts of several sites have it. */
  #siteOf(from: Endpoint): SimSite | undefined {
    if (this.#internet.socketAt(from) !== undefined) return undefined;
    const [site, ...others] = this.#sites.filter(({ inside }) => inside.socketAt(from) !== undefined);
    if (others.length > 0) throw new TypeError(`${formatEndpoint(from)} is in ${site?.name} and in ${others[0]?.name}`);
    return site;
  }

  /** A private source that no host of the internet has is somebody's inside, or made up: routers drop it. */
  #isStray({ at, from }: Packet): boolean {
    return at === undefined && isPrivate(from.ip) && !this.#internet.hasHost(from.ip);
  }

  #knows(segment: Segment, ip: Ip): boolean {
    return segment.hasHost(ip) || segment.gatewayOf(ip) !== undefined;
  }

  /** Up to the network that knows the destination, or to the internet; undefined when a gateway does not let it out. */
  #leave(packet: Packet): Packet | undefined {
    const { at, from, to } = packet;
    if (at === undefined || this.#knows(at.inside, to.ip)) return packet;
    const isTurned = at.owns(to.ip);
    if (isTurned && !at.isHairpin) return undefined;
    const box = at.boxFor(to.ip);
    const outside = box === undefined ? from : box.outbound(from, to, this.#clock.now());
    if (outside === undefined) return undefined;
    return isTurned ? { at, from: outside, to, turnedBy: at } : this.#leave({ at: at.behind, from: outside, to });
  }

  /** Who would get the packet if every gateway let it in, for diagrams and cuts: a host, or the gateway that knows nobody; undefined: it leads nowhere. */
  #lookAhead({ at, to, turnedBy }: Packet): string | undefined {
    const gateway = turnedBy ?? this.#segmentOf(at).gatewayOf(to.ip);
    if (gateway === undefined) return this.#segmentOf(at).socketAt(to)?.name;
    const box = gateway.boxFor(to.ip);
    const inside = box === undefined ? to : box.insideOf(to, this.#clock.now());
    return inside === undefined ? gateway.name : (this.#lookAhead({ at: gateway, from: to, to: inside }) ?? gateway.name);
  }

  #arrive(packet: Packet, datagram: { readonly sender: string; readonly text: string; readonly bytes: Uint8Array }): void {
    const { at, from, to, turnedBy } = packet;
    const gateway = turnedBy ?? this.#segmentOf(at).gatewayOf(to.ip);
    if (gateway === undefined) {
      this.#segmentOf(at).socketAt(to)?.receive(from, datagram.bytes);
      return;
    }
    const box = gateway.boxFor(to.ip);
    const inside = box === undefined ? to : box.inbound(from, to, this.#clock.now());
    if (inside !== undefined) return this.#arrive({ at: gateway, from, to: inside }, datagram);
    const text = `${datagram.text} not let in`;
    this.diagram.add({ at: this.#clock.now(), from: datagram.sender, to: this.#lookAhead(packet) ?? gateway.name, text, isLost: true });
  }
}

/** Does the packet reach its destination without leaving its sender's site? What the site's own gateway turned round does. */
function staysIn(origin: SimSite | undefined, { at, to }: Packet): boolean {
  return origin !== undefined && at === origin && origin.inside.gatewayOf(to.ip) === undefined;
}

function pair(a: string, b: string): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}
