import { addressBits, type Ip, ipFamily, type Prefix, parseIp } from "@mesh/core/ports";
import { commandFailed } from "./host-failure.ts";
import { type IpCommand, parseShown } from "./ip-command.ts";
import { type ShownAddress, type ShownLink, type ShownRoute, shownPrefix } from "./shown.ts";

/** What is on one device now, as far as a plan may speak about it. */
export interface LinkState {
  readonly isUp: boolean;
  readonly mtu: number;
  /** The kernel gives the device no link-local address of its own. */
  readonly isAddressGenerationOff: boolean;
  /** Put there by a plan. */
  readonly addresses: readonly Ip[];
  /** Put there by a plan. */
  readonly routes: readonly LinkRoute[];
}

export interface LinkRoute {
  readonly prefix: Prefix;
  readonly source: Ip | undefined;
}

/**
 * Marks our routes in the kernel ("m" in ASCII), so that a later plan knows them again and nothing else is touched.
 * Unassigned in the kernel's rtnetlink.h (6.18), iproute2's rt_protos (6.1) and FRR's (186 to 198); Calico uses 80, OVN 84.
 */
export const ROUTE_PROTOCOL = 109;

/** MeshError "host/…" when the device is not there or cannot be read. */
export async function readLink(ip: Pick<IpCommand, "batch">, device: string, hasIpv6: boolean): Promise<LinkState> {
  const dressing = [`address show dev ${device}`, `route show table main dev ${device}`];
  const [ipv4, ipv6] = await Promise.all([show(ip, 4, [...dressing, `link show dev ${device}`]), hasIpv6 ? show(ip, 6, dressing) : []]);
  const [link] = (ipv4[2] ?? []) as readonly ShownLink[];
  const { flags = [], mtu = 0, inet6_addr_gen_mode } = link ?? {};
  return {
    isUp: flags.includes("UP"),
    mtu,
    isAddressGenerationOff: inet6_addr_gen_mode === undefined || inet6_addr_gen_mode === "none",
    addresses: [...ourAddresses(ipv4[0]), ...ourAddresses(ipv6[0])],
    routes: [...ourRoutes(ipv4[1], 4), ...ourRoutes(ipv6[1], 6)],
  };
}

async function show(ip: Pick<IpCommand, "batch">, family: 4 | 6, commands: readonly string[]): Promise<readonly (readonly unknown[])[]> {
  const outcome = await ip.batch([`-${family}`, "-details", "-json"], commands);
  if (!outcome.ok) throw commandFailed(outcome, "read the tunnel device");
  return parseShown(outcome.output);
}

function ourAddresses(links: readonly unknown[] = []): readonly Ip[] {
  const shown = (links as readonly ShownLink[]).flatMap((link) => link.addr_info ?? []);
  return shown.flatMap((address) => {
    const ip = parseIp(address.local ?? "");
    return ip !== undefined && isOurs(address, ip) ? [ip] : [];
  });
}

/**
 * A single address without a prefix route is only ever made on purpose and by us: a person's or a daemon's address has
 * its prefix. (Linux 5.18 can name an address's maker, but iproute2 shows it only since 6.3.)
 */
function isOurs(address: ShownAddress, ip: Ip): boolean {
  return address.prefixlen === addressBits(ipFamily(ip)) && address.noprefixroute === true;
}

function ourRoutes(routes: readonly unknown[] = [], family: 4 | 6): readonly LinkRoute[] {
  return (routes as readonly ShownRoute[]).flatMap((route) => {
    const prefix = shownPrefix(route, family);
    if (prefix === undefined || route.protocol !== String(ROUTE_PROTOCOL)) return [];
    return [{ prefix, source: parseIp(route.prefsrc ?? "") }];
  });
}
