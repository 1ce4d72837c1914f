import { addressBits, ipFamily, type Prefix, parseIp, parsePrefix } from "@mesh/core/ports";

/** A link as `ip -details -json link show` or `address show` prints it; only what is read here. */
export interface ShownLink {
  readonly ifindex?: number;
  readonly ifname?: string;
  /** Of its hardware. */
  readonly address?: string;
  readonly mtu?: number;
  readonly flags?: readonly string[];
  readonly inet6_addr_gen_mode?: string;
  readonly addr_info?: readonly ShownAddress[];
}

export interface ShownAddress {
  readonly local?: string;
  readonly prefixlen?: number;
  readonly scope?: string;
  readonly deprecated?: boolean;
  readonly tentative?: boolean;
  readonly dadfailed?: boolean;
  readonly noprefixroute?: boolean;
}

export interface ShownRoute {
  /** `default`, an address, or a prefix. */
  readonly dst?: string;
  readonly type?: string;
  readonly dev?: string;
  /** Name from rt_protos, or its number when it has none. */
  readonly protocol?: string;
  readonly prefsrc?: string;
  readonly gateway?: string;
  readonly metric?: number;
  readonly nexthops?: readonly { readonly dev?: string; readonly gateway?: string }[];
}

/** A rule as `ip -json -N rule show` prints it; only what is read here. */
export interface ShownRule {
  readonly protocol?: string;
}

export function shownPrefix(route: ShownRoute, family: 4 | 6): Prefix | undefined {
  const { dst = "" } = route;
  if (dst === "default") return parsePrefix(family === 4 ? "0.0.0.0/0" : "::/0");
  const ip = parseIp(dst);
  return ip === undefined ? parsePrefix(dst) : { ip, length: addressBits(ipFamily(ip)) };
}
