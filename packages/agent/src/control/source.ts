import { formatPrefix, type Ip, ipFamily, makePrefix } from "@mesh/core/ports";

/** Whom limits count as one: an IPv4 address, or the IPv6 /64 that one host has all addresses of (RFC 4291 section 2.5.1). */
export type Source = string & { readonly brand: "Source" };

const IPV6_HOST_BITS = 64;

export function sourceOf(ip: Ip): Source {
  return (ipFamily(ip) === 4 ? ip : formatPrefix(makePrefix(ip, IPV6_HOST_BITS))) as string as Source;
}
