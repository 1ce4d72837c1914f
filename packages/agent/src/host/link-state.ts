import { addressBits, type Ip, ipFamily, type Prefix, parseIp } from "@mesh/core/ports";
import { OUR_PROTOCOL } from "./host-change.ts";
import { commandFailed } from "./host-failure.ts";
import { type IpCommand, parseShown } from "./ip-command.ts";
import { type ShownAddress, type ShownLink, type ShownRoute, shownPrefix } from "./shown.ts";

/** What is on one device now, as far as a plan may speak about it. */
export interface LinkState {
  /** The kernel's number of the device: it keeps it when it is renamed. */
  readonly index: number;
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

/** MeshError "host/…" when the device is not there or cannot be read. */
export async function readLink(ip: Pick<IpCommand, "batch">, device: string, hasIpv6: boolean): Promise<LinkState> {
  const dressing = [`address show dev ${device}`, `route show table main dev ${device}`];
  const [ipv4, ipv6] = await Promise.all([show(ip, 4, [...dressing, `link show dev ${device}`]), hasIpv6 ? show(ip, 6, dressing) : []]);
  const [link] = (ipv4[2] ?? []) as readonly ShownLink[];
  const { ifindex = 0, flags = [], mtu = 0, inet6_addr_gen_mode } = link ?? {};
  return {
    index: ifindex,
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
    return ip !== undefined && isOurAddress(address, ip) ? [ip] : [];
  });
}

/**
 * A single address without a prefix route is only ever made on purpose and by us: a person's or a daemon's address has
 * its prefix. (Linux 5.18 can name an address's maker, but iproute2 shows it only since 6.3.)
 */
export function isOurAddress(address: ShownAddress, ip: Ip): boolean {
  return address.prefixlen === addressBits(ipFamily(ip)) && address.noprefixroute === true;
}

function ourRoutes(routes: readonly unknown[] = [], family: 4 | 6): readonly LinkRoute[] {
  return (routes as readonly ShownRoute[]).flatMap((route) => {
    const prefix = shownPrefix(route, family);
    if (prefix === undefined || route.protocol !== String(OUR_PROTOCOL)) return [];
    return [{ prefix, source: parseIp(route.prefsrc ?? "") }];
  });
}

/** Present names of all devices by their number. */
export async function deviceNames(ip: Pick<IpCommand, "batch">): Promise<ReadonlyMap<number, string>> {
  const outcome = await ip.batch(["-json"], ["link show"]);
  if (!outcome.ok) throw commandFailed(outcome, "read the host's devices");
  const [links = []] = parseShown(outcome.output);
  return new Map((links as readonly ShownLink[]).map(({ ifindex = 0, ifname = "" }) => [ifindex, ifname]));
}
