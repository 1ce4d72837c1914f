/**
 * nftables files of gateways. Packets from inside:
 *   1. forward: from the LAN's own addresses to the WAN, else dropped
 *   2. learn, before the source changes: which host and port inside has which port outside
 *   3. out: the source becomes a WAN address and a port by the kind's rule
 * Packets from outside that belong to no connection: 4. in: a learned port leads to its host; 5. forward: admitted or not. What
 * leads to no host comes to `input`, the gateway itself.
 */

export interface NatPlace {
  readonly wanDevice: string;
  /** Without prefix length; consecutive. */
  readonly wanAddresses: readonly string[];
  readonly lanDevice: string;
  /** `192.168.1.0/24`. */
  readonly lanPrefix: string;
}

export interface NatOptions {
  /** Hosts inside reach each other by their outside mappings, and see an outside source (RFC 4787, REQ-9). */
  readonly hairpin?: boolean;
  /** Seconds that a mapping lives after its last packet; Linux's 30 unless given. */
  readonly udpTimeout?: number;
  /** The same once it has carried packets both ways for 2 s; Linux's 120 unless given. */
  readonly udpStreamTimeout?: number;
}

export interface Translation {
  /** Statement that gives UDP from inside its outside address and port. */
  readonly out: (place: NatPlace) => string;
  /** Expression for the outside port of a packet from inside, where its destination does not matter. */
  readonly port?: string;
  /** Strangers that a learned port lets in: all, or those whose address the host has sent to. None unless given. */
  readonly admits?: "anyone" | "known addresses";
  /** What becomes of packets from outside to the gateway itself. Dropped unless given. */
  readonly input?: "drop" | "reject" | "accept";
}

const DEFAULT_UDP_TIMEOUT = 30;
const DEFAULT_UDP_STREAM_TIMEOUT = 120;
/** Loading the file again starts with nothing learned. */
const FRESH_TABLE = "table ip lab_nat\ndelete table ip lab_nat\n";
const FRESH_TABLE_6 = "table ip6 lab_nat\ndelete table ip6 lab_nat\n";

/** The gateway's kernel settings, below /proc/sys/net. */
export function natSettings(options: NatOptions): Readonly<Record<string, string>> {
  return {
    "netfilter/nf_conntrack_udp_timeout": String(options.udpTimeout ?? DEFAULT_UDP_TIMEOUT),
    "netfilter/nf_conntrack_udp_timeout_stream": String(options.udpStreamTimeout ?? DEFAULT_UDP_STREAM_TIMEOUT),
  };
}

export function translationRules(translation: Translation, place: NatPlace, options: NatOptions): string {
  const { wanDevice, lanDevice, lanPrefix } = place;
  const { port, admits, input = "drop" } = translation;
  const hairpin = options.hairpin === true;
  if (hairpin && port === undefined) throw new RangeError("hairpinning needs an endpoint-independent mapping");
  const fromLan = `ip saddr ${lanPrefix}`;
  const timeout = `timeout ${options.udpTimeout ?? DEFAULT_UDP_TIMEOUT}s`;
  const inside = "ip saddr . udp sport";
  const learns = port !== undefined && (hairpin || admits !== undefined);
  const learn = `${fromLan} meta l4proto udp update @outside { ${port} ${timeout} : ${inside} }`;
  const toHost = "dnat ip to udp dport map @outside";
  return `${FRESH_TABLE}table ip lab_nat {
  map outside { type inet_service : ipv4_addr . inet_service; size 65535; flags dynamic, timeout; }
  set seen { type ipv4_addr . inet_service . ipv4_addr; size 65535; flags dynamic, timeout; }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state invalid drop
    ct state established,related accept
    iifname ${lanDevice} oifname ${wanDevice} ${fromLan} accept
    ${only(admits === "anyone", `iifname ${wanDevice} ct status dnat accept`)}
    ${only(admits === "known addresses", `iifname ${wanDevice} ip daddr . udp dport . ip saddr @seen accept`)}
    ${only(hairpin, `iifname ${lanDevice} oifname ${lanDevice} ct status dnat accept`)}
  }
  chain learn {
    type filter hook postrouting priority 90;
    ${only(learns, `oifname ${wanDevice} ${learn}`)}
    ${only(hairpin, `oifname ${lanDevice} ct status dnat ${learn}`)}
    ${only(admits === "known addresses", `oifname ${wanDevice} ${fromLan} meta l4proto udp update @seen { ${inside} . ip daddr ${timeout} }`)}
  }
  chain out {
    type nat hook postrouting priority srcnat;
    oifname ${wanDevice} ${fromLan} meta l4proto udp ${translation.out(place)}
    oifname ${wanDevice} ${fromLan} masquerade
    ${only(hairpin, `oifname ${lanDevice} ${fromLan} meta l4proto udp ct status dnat ${hairpinSource(place, port)}`)}
  }
  chain in {
    type nat hook prerouting priority dstnat;
    ${only(admits !== undefined, `iifname ${wanDevice} ${toHost}`)}
    ${only(hairpin, `iifname ${lanDevice} ip daddr ${place.wanAddresses[0]} ${toHost}`)}
  }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname ${wanDevice} ct state established,related accept
    iifname ${wanDevice} ${input}
  }
}
`;
}

/** Public addresses; only answers come in. */
export function firewallRules({ lanDevice }: NatPlace): string {
  return `${FRESH_TABLE}table ip lab_nat {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname ${lanDevice} accept
  }
}
`;
}

/** No UDP goes out, and of TCP only what looks like HTTPS; the rest of TCP is refused at once. */
export function blockedRules({ wanDevice, lanDevice, lanPrefix }: NatPlace): string {
  return `${FRESH_TABLE}table ip lab_nat {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname ${lanDevice} tcp dport 443 accept
    iifname ${lanDevice} meta l4proto tcp reject with tcp reset
  }
  chain out {
    type nat hook postrouting priority srcnat;
    oifname ${wanDevice} ip saddr ${lanPrefix} masquerade
  }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname ${wanDevice} ct state established,related accept
    iifname ${wanDevice} drop
  }
}
`;
}

/** IPv6 as home routers have it: no translation, only answers come in; what keeps IPv6 itself going passes (RFC 4890). */
export function firewall6Rules({ lanDevice, wanDevice }: NatPlace): string {
  return `${FRESH_TABLE_6}table ip6 lab_nat {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname ${lanDevice} accept
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request } accept
  }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname ${wanDevice} meta l4proto { tcp, udp } ct state new drop
  }
}
`;
}

/**
 * The core of an internet carries no private source (RFC 1918, RFC 6598, RFC 4193): each one dropped counts as a leak. Nor does
 * it say that an address is in nobody's use any more; packets to it vanish.
 */
export const CORE_RULES = `table inet lab_core {
  counter leaks { }
  chain arrive {
    type filter hook prerouting priority raw;
    ip saddr { 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 } counter name leaks drop
    ip6 saddr fc00::/7 counter name leaks drop
    ip ttl < 5 drop
    ip6 hoplimit < 5 drop
  }
  chain say {
    type filter hook output priority 0;
    icmp type destination-unreachable icmp code host-unreachable drop
    icmpv6 type destination-unreachable icmpv6 code addr-unreachable drop
  }
}
`;

/** What `nft list counter inet lab_core leaks` says, as a number of packets. */
export function parseLeaks(listed: string): number {
  return Number(/packets (\d+)/.exec(listed)?.[1] ?? Number.NaN);
}

function hairpinSource({ wanAddresses: [address] }: NatPlace, port: string | undefined): string {
  return port === "udp sport" ? `snat to ${address}` : `snat to ${address} : ${port}`;
}

function only(condition: boolean, rule: string): string {
  return condition ? rule : "";
}
