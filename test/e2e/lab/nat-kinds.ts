import { blockedRules, firewallRules, type NatOptions, type NatPlace, type Translation, translationRules } from "./nat-rules.ts";

/** Endpoint-independent, address-dependent, address and port-dependent (RFC 4787); `none` translates nothing. */
export type Mapping = "none" | "EIM" | "ADM" | "APDM";
export type Filtering = "EIF" | "ADF" | "APDF";
/** The outside ports of successive mappings: equal to the inside ones, each one up, within 1,024 of each other, or all over. */
export type Allocation = "kept" | "sequential" | "block" | "scattered";

/** What experiments between a host inside and others outside find. */
export interface NatClass {
  readonly mapping: Mapping;
  readonly filtering: Filtering;
  readonly allocation: Allocation;
  /** One host shows several public addresses (RFC 4787, section 4.1: pooling "Arbitrary"). */
  readonly pooled: boolean;
}

export interface NatKind {
  /** Of UDP. */
  readonly class: NatClass | "blocked";
  /** After a reboot the same port inside has the same port outside: one packet from inside heals what was open before. */
  readonly stable: boolean;
  /** Public addresses that the gateway needs. */
  readonly wanAddresses: number;
  /** Whether NatOptions.hairpin is possible. */
  readonly canHairpin: boolean;
  readonly note: string;
  /** A whole nftables file, which replaces what an earlier one of the same gateway made. */
  readonly rules: (place: NatPlace, options: NatOptions) => string;
}

export type NatKindName =
  | "none"
  | "fw"
  | "eim-eif"
  | "eim-adf"
  | "eim-apdf"
  | "eimr-eif"
  | "eimr-adf"
  | "eimr-apdf"
  | "masq"
  | "masq-rej"
  | "masq-open"
  | "adm-apdf"
  | "apdm-hash"
  | "sym-rand"
  | "sym-frand"
  | "sym-seq"
  | "sym-block"
  | "sym-pool"
  | "udp-block";

/** Where the outside port is the inside one, and where it is a hash of the host and its port. */
const KEPT = "udp sport";
const HASHED = hashPort("ip saddr . udp sport");
/** `sym-seq` goes round in these. */
const FIRST_SEQUENCE_PORT = 30_000;
const SEQUENCE_PORTS = 8_000;
/** What a carrier gives a customer. */
const BLOCK = "20480-21503";
const POOL_ADDRESSES = 4;

const EIM_KEPT: Omit<NatClass, "filtering"> = { mapping: "EIM", allocation: "kept", pooled: false };
const EIM_HASHED: Omit<NatClass, "filtering"> = { mapping: "EIM", allocation: "scattered", pooled: false };
const APDM: NatClass = { mapping: "APDM", filtering: "APDF", allocation: "scattered", pooled: false };
const UNTRANSLATED: Omit<NatClass, "filtering"> = { mapping: "none", allocation: "kept", pooled: false };

const keepPort: Translation = { port: KEPT, out: snatTo };
const hashedPort: Translation = { port: HASHED, out: (place) => `${snatTo(place)} : ${HASHED}` };
const masquerade: Translation = { port: KEPT, out: () => "masquerade" };

/**
 * Kinds of NAT as nftables rules of a Linux gateway, each with the class that these rules really have: lab-nat.test.ts probes
 * every one. Where nothing is special, `eimr-*` is the better NAT to test against: it catches code that takes the outside port
 * for the inside one.
 */
export const NAT_KINDS: Readonly<Record<NatKindName, NatKind>> = {
  none: {
    class: { ...UNTRANSLATED, filtering: "EIF" },
    stable: true,
    wanAddresses: 1,
    canHairpin: false,
    note: "no NAT and no firewall: the hosts have public addresses",
    rules: () => "",
  },
  fw: {
    class: { ...UNTRANSLATED, filtering: "APDF" },
    stable: true,
    wanAddresses: 1,
    canHairpin: false,
    note: "public addresses behind a stateful firewall",
    rules: firewallRules,
  },
  "eim-eif": stable({ ...EIM_KEPT, filtering: "EIF" }, { ...keepPort, admits: "anyone" }, "full cone, ports kept"),
  "eim-adf": stable({ ...EIM_KEPT, filtering: "ADF" }, { ...keepPort, admits: "known addresses" }, "restricted cone, ports kept"),
  "eim-apdf": stable({ ...EIM_KEPT, filtering: "APDF" }, keepPort, "port-restricted cone, ports kept"),
  "eimr-eif": stable({ ...EIM_HASHED, filtering: "EIF" }, { ...hashedPort, admits: "anyone" }, "full cone, ports not kept"),
  "eimr-adf": stable({ ...EIM_HASHED, filtering: "ADF" }, { ...hashedPort, admits: "known addresses" }, "restricted cone, ports not kept"),
  "eimr-apdf": stable({ ...EIM_HASHED, filtering: "APDF" }, hashedPort, "port-restricted cone, ports not kept"),
  masq: stable({ ...EIM_KEPT, filtering: "APDF" }, masquerade, "a stock Linux router; drops what it did not expect"),
  "masq-rej": stable({ ...EIM_KEPT, filtering: "APDF" }, { ...masquerade, input: "reject" }, "the same, refusing it"),
  "masq-open": stable(
    { ...EIM_KEPT, filtering: "APDF" },
    { ...masquerade, input: "accept" },
    "the same, taking it for its own: a peer whose probe came before our first packet has another mapping",
  ),
  "adm-apdf": stable({ ...APDM, mapping: "ADM" }, hashedOut("ip saddr . udp sport . ip daddr"), "a port for each address outside"),
  "apdm-hash": stable(APDM, hashedOut("ip saddr . udp sport . ip daddr . udp dport"), "symmetric; the same flow, the same port"),
  "sym-rand": symmetric(APDM, { out: () => "masquerade random" }, "symmetric; ports by chance"),
  "sym-frand": symmetric(APDM, { out: () => "masquerade fully-random" }, "symmetric; ports by chance"),
  "sym-seq": symmetric({ ...APDM, allocation: "sequential" }, { out: nextPort }, "symmetric; each flow gets the next port"),
  "sym-block": symmetric(
    { ...APDM, allocation: "block" },
    { out: () => `masquerade to :${BLOCK} fully-random` },
    "symmetric; ports by chance within a carrier's block of 1,024",
  ),
  "sym-pool": {
    ...symmetric({ ...APDM, pooled: true }, { out: fromPool }, "symmetric, and the public address depends on the destination's"),
    wanAddresses: POOL_ADDRESSES,
  },
  "udp-block": {
    class: "blocked",
    stable: false,
    wanAddresses: 1,
    canHairpin: false,
    note: "no UDP; TCP to port 443 only",
    rules: blockedRules,
  },
};

function stable(udp: NatClass, translation: Translation, note: string): NatKind {
  return { ...symmetric(udp, translation, note), stable: true };
}

/** Or at least one that forgets. */
function symmetric(udp: NatClass, translation: Translation, note: string): NatKind {
  const rules: NatKind["rules"] = (place, options) => translationRules(translation, place, options);
  return { class: udp, stable: false, wanAddresses: 1, canHairpin: translation.port !== undefined, note, rules };
}

function snatTo({ wanAddresses: [address] }: NatPlace): string {
  return `snat to ${address}`;
}

function hashedOut(fields: string): Translation {
  return { out: (place) => `${snatTo(place)} : ${hashPort(fields)}` };
}

/**
 * nft 1.0.6 hands the number on without swapping its bytes, so the 4 lands in the upper byte of the port and no port is below
 * 1,024. The seed is given because each place that uses the hash would otherwise draw its own.
 */
function hashPort(fields: string): string {
  return `jhash ${fields} mod 65536 seed 0x6d657368 | 4`;
}

/** With the ports spelled out: the bytes of a bare `numgen inc mod 8000 offset 30000` are not swapped either, and it steps by 256. */
function nextPort(place: NatPlace): string {
  const ports = Array.from({ length: SEQUENCE_PORTS }, (_, n) => `${n} : ${FIRST_SEQUENCE_PORT + n}`);
  return `${snatTo(place)} : numgen inc mod ${SEQUENCE_PORTS} map { ${ports.join(", ")} }`;
}

function fromPool({ wanAddresses }: NatPlace): string {
  return `snat to ${wanAddresses[0]}-${wanAddresses.at(-1)} random`;
}
