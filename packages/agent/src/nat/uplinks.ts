import {
  type HostView,
  type Ip,
  type IpFamily,
  ipBytes,
  ipFamily,
  isPrivate,
  isUnicast,
  makePrefix,
  prefixContains,
} from "@mesh/core/ports";

/** One address of this host behind the router of a default route: for each, that router may be asked for a mapping. */
export interface Uplink {
  /** Private or link-local, always: nobody else is asked. */
  readonly gateway: Ip;
  /** The default route's. */
  readonly device: string;
  /** What requests are sent from, and what a mapping leads to. */
  readonly source: Ip;
}

/** A host has one address, and for a while a second one, of each prefix; beyond that somebody on the link makes them up. */
const MAX_SOURCES_IPV6 = 2;

/**
 * Whom to ask. IPv4: the router of the default route. IPv6: the same router, for each public address there, because nothing else
 * is worth a hole in its firewall. Nobody on a link where this host has a public IPv4 address: nothing is translated there, and
 * the router is a provider's, which would take our questions for an attack.
 */
export function uplinksOf(view: HostView): readonly Uplink[] {
  return [...uplinksOfFamily(view, 4), ...uplinksOfFamily(view, 6)];
}

function uplinksOfFamily({ addresses, routes }: HostView, family: IpFamily): readonly Uplink[] {
  const defaults = routes.filter(({ prefix }) => prefix.length === 0 && ipFamily(prefix.ip) === family);
  const [route] = [...defaults].sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0));
  const gateway = route?.gateway;
  if (route === undefined || gateway === undefined || ipFamily(gateway) !== family || !(isPrivate(gateway) || isLinkLocal(gateway)))
    return [];
  const { device } = route;
  const own = addresses.filter((address) => address.device === device && ipFamily(address.ip) === family);
  if (addresses.some((address) => address.device === device && ipFamily(address.ip) === 4 && isPublic(address.ip))) return [];
  if (family === 6) {
    const open = own.filter(({ ip }) => isPublic(ip)).slice(0, MAX_SOURCES_IPV6);
    return open.map(({ ip: source }) => ({ gateway, device, source }));
  }
  const near = own.find(({ ip, prefixLength }) => prefixContains(makePrefix(ip, prefixLength), gateway)) ?? own[0];
  return near === undefined ? [] : [{ gateway, device, source: near.ip }];
}

/** As sockets name the gateway: a link-local address means nothing without its link. */
export function gatewayAddress({ gateway, device }: Uplink): string {
  return ipFamily(gateway) === 6 && isLinkLocal(gateway) ? `${gateway}%${device}` : gateway;
}

function isPublic(ip: Ip): boolean {
  return isUnicast(ip) && !isPrivate(ip);
}

/** RFC 3927, RFC 4291. */
function isLinkLocal(ip: Ip): boolean {
  const [a = 0, b = 0] = ipBytes(ip);
  return ipFamily(ip) === 4 ? a === 169 && b === 254 : a === 0xfe && (b & 0xc0) === 0x80;
}
