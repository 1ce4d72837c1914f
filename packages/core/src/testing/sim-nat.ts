import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { type Millis, seconds } from "../time/millis.ts";
import type { SeededRandom } from "./seeded-random.ts";

/** By what of its destination a packet's translation or admission is decided (RFC 4787, sections 4.1 and 5). */
export type NatBehaviour = "endpoint-independent" | "address-dependent" | "address-and-port-dependent";

/** How a NAT behaves, in the terms of RFC 4787. */
export interface NatKind {
  readonly mapping: NatBehaviour;
  readonly filtering: NatBehaviour;
  /**
   * Which external port a new mapping gets. preserving: the inside one, if it is free. hashed: one that follows from what is
   * mapped, also after a reboot. sequential: one more than the last. random-block: any of 1,024 that belong to the inside address.
   */
  readonly allocation: "preserving" | "hashed" | "sequential" | "random" | "random-block";
  /** A mapping, and the right of one remote to use it, end when idle for this long. */
  readonly lifetime: Millis;
  /** What comes in counts as use too, as in Linux; else only what goes out does (RFC 4787, REQ-6). */
  readonly isRefreshedByInbound?: boolean;
  /**
   * Linux with an open INPUT chain: a probe that arrives unasked is remembered for `lifetime`, and the inside host's own flow to
   * that very peer then gets another external port.
   */
  readonly isRemappedByEarlyProbe?: boolean;
  /** What is sent from inside to an external endpoint of this NAT comes back in, from its sender's external endpoint (RFC 4787, REQ-9). */
  readonly hairpin?: boolean;
  /** Of several public addresses, which one: the same for all of an inside address (paired, unless told), or by the remote's address. */
  readonly pooling?: "paired" | "arbitrary";
}

export type NatName =
  | "eim-eif"
  | "eim-adf"
  | "eim-apdf"
  | "eimr-eif"
  | "eimr-adf"
  | "eimr-apdf"
  | "masq"
  | "masq-open"
  | "adm-apdf"
  | "apdm-hash"
  | "sym-seq"
  | "sym-rand"
  | "sym-block"
  | "sym-pool";

/** Linux forgets a UDP flow after this long; RFC 4787 asks for two minutes at least. */
const LIFETIME: Millis = seconds(30);
const EIM = { mapping: "endpoint-independent", lifetime: LIFETIME } as const;
const APDF = { filtering: "address-and-port-dependent", lifetime: LIFETIME } as const;
const MASQ = { ...EIM, ...APDF, allocation: "preserving", isRefreshedByInbound: true } as const;
const SYMMETRIC = { mapping: "address-and-port-dependent", ...APDF } as const;

/** The rule sets of the lab by their names there. What differs only in its ICMP errors or its source of chance is one here. */
export const NAT_KINDS: Readonly<Record<NatName, NatKind>> = {
  "eim-eif": { ...EIM, filtering: "endpoint-independent", allocation: "preserving" },
  "eim-adf": { ...EIM, filtering: "address-dependent", allocation: "preserving" },
  "eim-apdf": { ...EIM, ...APDF, allocation: "preserving" },
  "eimr-eif": { ...EIM, filtering: "endpoint-independent", allocation: "hashed" },
  "eimr-adf": { ...EIM, filtering: "address-dependent", allocation: "hashed" },
  "eimr-apdf": { ...EIM, ...APDF, allocation: "hashed" },
  masq: MASQ,
  "masq-open": { ...MASQ, isRemappedByEarlyProbe: true },
  "adm-apdf": { mapping: "address-dependent", ...APDF, allocation: "hashed" },
  "apdm-hash": { ...SYMMETRIC, allocation: "hashed" },
  "sym-seq": { ...SYMMETRIC, allocation: "sequential" },
  "sym-rand": { ...SYMMETRIC, allocation: "random" },
  "sym-block": { ...SYMMETRIC, allocation: "random-block" },
  "sym-pool": { ...SYMMETRIC, allocation: "random", pooling: "arbitrary" },
};

/** What stands between a site and the rest. It translates and admits; it carries nothing itself. */
export interface GatewayBox {
  /** Of a packet that leaves: the source it has outside; undefined: dropped. */
  outbound(inside: Endpoint, remote: Endpoint, now: Millis): Endpoint | undefined;
  /** Of a packet that arrives: the destination it has inside; undefined: dropped. */
  inbound(remote: Endpoint, external: Endpoint, now: Millis): Endpoint | undefined;
  /** Whose the external endpoint is, whoever may use it. Changes nothing. */
  insideOf(external: Endpoint, now: Millis): Endpoint | undefined;
  /** Forgets every state. */
  reboot(): void;
}

/** Counts since the site was made. */
export interface BoxStats {
  readonly mappings: number;
  /** Most mappings alive at one time. */
  readonly peakMappings: number;
  /** What came from outside and was not let in. */
  readonly filtered: number;
  /** What could not leave because no port was free, or the site lets no UDP out. */
  readonly refused: number;
}

export type MutableBoxStats = { -readonly [name in keyof BoxStats]: BoxStats[name] };

interface Mapping {
  readonly key: string;
  readonly inside: Endpoint;
  readonly external: Endpoint;
  readonly remotes: IdleSet;
}

/** External ports of one address: none of the well-known ones, as in Linux for a source above them. */
const FIRST_PORT = 1_024;
const PORTS = 65_536 - FIRST_PORT;
export const PORT_BLOCK = 1_024;

/**
 * A NAT for IPv4 on one clock, given with each packet. At every moment an external endpoint belongs to one mapping.
 *
 *   outbound: 1. a flow that an early probe displaced keeps the mapping of its own
 *             2. else the mapping of (inside, remote) by the mapping behaviour, made if there is none
 *             3. displaced by an early probe just now: a mapping of its own
 *             4. the remote may use the mapping from now on, by the filtering behaviour
 *   inbound:  the mapping of the external endpoint, if the remote may use it
 */
export class NatBox implements GatewayBox {
  readonly #kind: NatKind;
  readonly #random: SeededRandom;
  readonly #stats: MutableBoxStats;
  #publicIps: readonly Ip[];
  readonly #mappings = new Map<string, Mapping>();
  /** When each mapping was last used, by its key. */
  readonly #usedAt = new IdleSet();
  readonly #byPort = new Map<Ip, Map<number, Mapping>>();
  readonly #earlyProbes = new IdleSet();
  readonly #blocks = new Map<Ip, number>();
  #lastPort = 0;

  constructor(options: {
    readonly kind: NatKind;
    readonly publicIps: readonly Ip[];
    readonly random: SeededRandom;
    readonly stats: MutableBoxStats;
  }) {
    this.#kind = options.kind;
    this.#publicIps = options.publicIps;
    this.#random = options.random;
    this.#stats = options.stats;
    this.reboot();
  }

  outbound(inside: Endpoint, remote: Endpoint, now: Millis): Endpoint | undefined {
    this.#endIdle(now);
    const own = `displaced ${formatEndpoint(inside)} ${formatEndpoint(remote)}`;
    let mapping = this.#mappings.get(own) ?? this.#mappings.get(this.#keyOf(inside, remote));
    mapping ??= this.#map(this.#keyOf(inside, remote), { inside, remote, port: this.#firstChoice(inside, remote) }, now);
    if (mapping !== undefined && mapping.key !== own && this.#earlyProbes.has(probeOf(remote, mapping.external)))
      mapping = this.#map(own, { inside, remote, port: this.#anyPort() }, now);
    if (mapping === undefined) {
      this.#stats.refused++;
      return undefined;
    }
    this.#use(mapping, remote, now);
    return mapping.external;
  }

  inbound(remote: Endpoint, external: Endpoint, now: Millis): Endpoint | undefined {
    this.#endIdle(now);
    const mapping = this.#byPort.get(external.ip)?.get(external.port);
    mapping?.remotes.endBefore(now - this.#kind.lifetime);
    if (mapping?.remotes.has(filterOf(this.#kind.filtering, remote)) === true) {
      if (this.#kind.isRefreshedByInbound === true) this.#use(mapping, remote, now);
      return mapping.inside;
    }
    this.#stats.filtered++;
    if (this.#kind.isRemappedByEarlyProbe === true) this.#earlyProbes.touch(probeOf(remote, external), now);
    return undefined;
  }

  insideOf(external: Endpoint, now: Millis): Endpoint | undefined {
    this.#endIdle(now);
    return this.#byPort.get(external.ip)?.get(external.port)?.inside;
  }

  /** The public address that packets of this inside address leave with. */
  publicIpOf(inside: Ip, remote: Ip): Ip {
    const by = this.#kind.pooling === "arbitrary" ? `${inside} ${remote}` : inside;
    const ip = this.#publicIps[this.#publicIps.length === 1 ? 0 : hash(by) % this.#publicIps.length];
    if (ip === undefined) throw new TypeError("a NAT without a public address");
    return ip;
  }

  mappingsNow(now: Millis): readonly { readonly inside: Endpoint; readonly external: Endpoint }[] {
    this.#endIdle(now);
    return [...this.#mappings.values()].map(({ inside, external }) => ({ inside, external }));
  }

  /** Other public addresses from now on, and no mapping of the old ones. */
  renumber(publicIps: readonly Ip[]): void {
    this.#publicIps = publicIps;
    this.reboot();
  }

  reboot(): void {
    for (const forgotten of [this.#mappings, this.#byPort, this.#blocks, this.#usedAt, this.#earlyProbes]) forgotten.clear();
    this.#lastPort = this.#anyPort();
  }

  #keyOf(inside: Endpoint, remote: Endpoint): string {
    return `${formatEndpoint(inside)} ${filterOf(this.#kind.mapping, remote)}`;
  }

  #use(mapping: Mapping, remote: Endpoint, now: Millis): void {
    mapping.remotes.endBefore(now - this.#kind.lifetime);
    mapping.remotes.touch(filterOf(this.#kind.filtering, remote), now);
    this.#usedAt.touch(mapping.key, now);
  }

  #endIdle(now: Millis): void {
    this.#earlyProbes.endBefore(now - this.#kind.lifetime);
    for (const key of this.#usedAt.endBefore(now - this.#kind.lifetime)) {
      const mapping = this.#mappings.get(key);
      this.#mappings.delete(key);
      if (mapping !== undefined) this.#byPort.get(mapping.external.ip)?.delete(mapping.external.port);
    }
  }

  #map(
    key: string,
    wanted: { readonly inside: Endpoint; readonly remote: Endpoint; readonly port: number },
    now: Millis,
  ): Mapping | undefined {
    const { inside, remote } = wanted;
    const ip = this.publicIpOf(inside.ip, remote.ip);
    const taken = this.#byPort.get(ip) ?? new Map<number, Mapping>();
    this.#byPort.set(ip, taken);
    const port = this.#freePort(taken, wanted);
    if (port === undefined) return undefined;
    const mapping = { key, inside, external: { ip, port }, remotes: new IdleSet() };
    this.#mappings.set(key, mapping);
    this.#usedAt.touch(key, now);
    taken.set(port, mapping);
    this.#lastPort = port;
    this.#stats.mappings++;
    this.#stats.peakMappings = Math.max(this.#stats.peakMappings, this.#mappings.size);
    return mapping;
  }

  /** The wanted one, or the next that is free: a few taken neighbours are no reason to refuse. */
  #freePort(taken: ReadonlyMap<number, Mapping>, wanted: { readonly inside: Endpoint; readonly port: number }): number | undefined {
    const block = this.#kind.allocation === "random-block" ? this.#blockOf(wanted.inside.ip) : undefined;
    const [first, count] = this.#kind.allocation === "random-block" ? [block, PORT_BLOCK] : [FIRST_PORT, PORTS];
    if (first === undefined || taken.size >= PORTS) return undefined;
    for (let step = 0; step < count; step++) {
      const port = first + ((wanted.port - FIRST_PORT + step) % count);
      if (!taken.has(port)) return port;
    }
    return undefined;
  }

  #firstChoice(inside: Endpoint, remote: Endpoint): number {
    switch (this.#kind.allocation) {
      case "preserving": {
        const holder = this.#byPort.get(this.publicIpOf(inside.ip, remote.ip))?.get(inside.port);
        return inside.port >= FIRST_PORT && holder === undefined ? inside.port : this.#anyPort();
      }
      case "hashed":
        return FIRST_PORT + (hash(this.#keyOf(inside, remote)) % PORTS);
      case "sequential":
        return this.#lastPort + 1;
      case "random":
      case "random-block":
        return this.#anyPort();
    }
  }

  #anyPort(): number {
    return FIRST_PORT + this.#random.below(PORTS);
  }

  /** First port of the inside address's block; undefined when all are given away. */
  #blockOf(inside: Ip): number | undefined {
    const given = this.#blocks.get(inside);
    if (given !== undefined) return given;
    const taken = new Set(this.#blocks.values());
    const free = Array.from({ length: PORTS / PORT_BLOCK }, (_, i) => FIRST_PORT + i * PORT_BLOCK).filter((first) => !taken.has(first));
    const block = this.#random.pick(free);
    if (block !== undefined) this.#blocks.set(inside, block);
    return block;
  }
}

/** A stateful filter without translation: lets in what belongs to a flow that an inside host began. Either direction keeps it open. */
export class FirewallBox implements GatewayBox {
  readonly #flows = new IdleSet();
  readonly #lifetime: Millis;
  readonly #stats: MutableBoxStats;

  constructor(options: { readonly stats: MutableBoxStats; readonly lifetime?: Millis }) {
    this.#stats = options.stats;
    this.#lifetime = options.lifetime ?? LIFETIME;
  }

  outbound(inside: Endpoint, remote: Endpoint, now: Millis): Endpoint {
    this.#flows.endBefore(now - this.#lifetime);
    this.#flows.touch(probeOf(remote, inside), now);
    return inside;
  }

  inbound(remote: Endpoint, external: Endpoint, now: Millis): Endpoint | undefined {
    this.#flows.endBefore(now - this.#lifetime);
    if (this.#flows.has(probeOf(remote, external))) return this.outbound(external, remote, now);
    this.#stats.filtered++;
    return undefined;
  }

  insideOf(external: Endpoint): Endpoint {
    return external;
  }

  reboot(): void {
    this.#flows.clear();
  }
}

/** Lets no UDP pass, either way. */
export class UdpBlockBox implements GatewayBox {
  readonly #stats: MutableBoxStats;

  constructor(options: { readonly stats: MutableBoxStats }) {
    this.#stats = options.stats;
  }

  outbound(): undefined {
    this.#stats.refused++;
  }

  inbound(): undefined {
    this.#stats.filtered++;
  }

  insideOf(): undefined {}

  reboot(): void {}
}

/** Keys and when each was last touched, in that order: those that end are at the front, and ending them costs only themselves. */
class IdleSet {
  readonly #touchedAt = new Map<string, Millis>();

  touch(key: string, now: Millis): void {
    this.#touchedAt.delete(key);
    this.#touchedAt.set(key, now);
  }

  has(key: string): boolean {
    return this.#touchedAt.has(key);
  }

  /** Forgets what was last touched then or earlier, and returns it. */
  endBefore(at: Millis): readonly string[] {
    const ended: string[] = [];
    for (const [key, touchedAt] of this.#touchedAt) {
      if (touchedAt > at) break;
      this.#touchedAt.delete(key);
      ended.push(key);
    }
    return ended;
  }

  clear(): void {
    this.#touchedAt.clear();
  }
}

function filterOf(behaviour: NatBehaviour, remote: Endpoint): string {
  switch (behaviour) {
    case "endpoint-independent":
      return "";
    case "address-dependent":
      return remote.ip;
    case "address-and-port-dependent":
      return formatEndpoint(remote);
  }
}

function probeOf(remote: Endpoint, external: Endpoint): string {
  return `${formatEndpoint(remote)} ${formatEndpoint(external)}`;
}

/** 32 bits. (FNV-1a, then mixed, because neighbouring ports differ in the last characters only) */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const character of text) value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  return (value ^ (value >>> 13)) >>> 0;
}
