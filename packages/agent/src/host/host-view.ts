import {
  addressBits,
  type HostAddress,
  type HostRoute,
  type HostView,
  ipFamily,
  type Prefix,
  parseIp,
  parsePrefix,
  prefixContains,
} from "@mesh/core/ports";
import { commandFailed } from "./host-failure.ts";
import { type IpCommand, parseShown } from "./ip-command.ts";
import { type ShownAddress, type ShownLink, type ShownRoute, shownPrefix } from "./shown.ts";

/** Reachable from this link or this host only (RFC 3927, RFC 4291), so no other host learns anything from them. */
const LOCAL_ONLY: readonly Prefix[] = prefixes("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10");

/** Multicast in both families; a route to it says nothing about where a host is. */
const MULTICAST: readonly Prefix[] = prefixes("224.0.0.0/4", "ff00::/8");

/** Two processes: `ip` tells a default route's family only by the family it was asked for. */
export async function observeHost(
  ip: Pick<IpCommand, "batch">,
  options: { readonly exceptDevice: string; readonly hasIpv6: boolean },
): Promise<HostView> {
  const families = options.hasIpv6 ? ([4, 6] as const) : ([4] as const);
  const views = await Promise.all(families.map((family) => observeFamily(ip, family)));
  // An address inside a tunnel, another mesh's or another VPN's, is no place to reach this host at from outside.
  const tunnels = new Set([options.exceptDevice, ...views.flatMap((view) => view.tunnels)]);
  return {
    addresses: sorted(views.flatMap((view) => view.addresses).filter(({ device }) => !tunnels.has(device))),
    routes: sorted(views.flatMap((view) => view.routes).filter(({ device }) => device !== options.exceptDevice)),
  };
}

/** Asked for IPv6, `address show` does not say what kind a link is of. */
async function observeFamily(ip: Pick<IpCommand, "batch">, family: 4 | 6): Promise<HostView & { readonly tunnels: readonly string[] }> {
  const outcome = await ip.batch([`-${family}`, "-details", "-json"], ["address show", "route show table main", "link show type tun"]);
  if (!outcome.ok) throw commandFailed(outcome, "read the host's addresses and routes");
  const [links = [], routes = [], tunnels = []] = parseShown(outcome.output);
  return {
    addresses: (links as readonly ShownLink[]).flatMap(linkAddresses),
    routes: (routes as readonly ShownRoute[]).flatMap((route) => hostRoutes(route, family)),
    tunnels: (tunnels as readonly ShownLink[]).flatMap(({ ifname }) => ifname ?? []),
  };
}

function linkAddresses({ ifname: device, addr_info: shown = [] }: ShownLink): readonly HostAddress[] {
  if (device === undefined || device === "lo") return [];
  return shown.flatMap((address) => {
    const ip = parseIp(address.local ?? "");
    if (ip === undefined || !isUsable(address) || LOCAL_ONLY.some((prefix) => prefixContains(prefix, ip))) return [];
    return [{ device, ip, prefixLength: address.prefixlen ?? addressBits(ipFamily(ip)) }];
  });
}

function isUsable(address: ShownAddress): boolean {
  const isOffered = address.deprecated !== true && address.tentative !== true && address.dadfailed !== true;
  return isOffered && address.scope !== "host" && address.scope !== "link";
}

/** One entry for each next hop. A prefix that the host refuses (`blackhole`, …) is in use as well: it counts as routed to `lo`. */
function hostRoutes(route: ShownRoute, family: 4 | 6): readonly HostRoute[] {
  const prefix = shownPrefix(route, family);
  if (prefix === undefined || [...LOCAL_ONLY, ...MULTICAST].some((local) => covers(local, prefix))) return [];
  if (route.type === "blackhole" || route.type === "unreachable" || route.type === "prohibit")
    return prefix.length === 0 ? [] : [{ device: "lo", prefix }];
  if (route.type !== undefined && route.type !== "unicast") return [];
  const hops = route.nexthops ?? [route];
  return hops.flatMap(({ dev: device, gateway }) => {
    if (device === undefined || device === "lo") return [];
    return [{ device, prefix, ...(prefix.length === 0 && router(gateway, route.metric)) }];
  });
}

/** Which router a default route leads to decides where packets leave; of other routes only their prefix matters. */
function router(shown: string | undefined, metric = 0): Pick<HostRoute, "gateway" | "metric"> {
  const gateway = parseIp(shown ?? "");
  return { ...(gateway !== undefined && { gateway }), ...(metric !== 0 && { metric }) };
}

function covers(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && prefixContains(outer, inner.ip);
}

/** The kernel's order changes when a link goes down and up; equal hosts must look equal. */
function sorted<T>(entries: readonly T[]): readonly T[] {
  return entries
    .map((entry) => ({ entry, key: JSON.stringify(entry) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ entry }) => entry);
}

function prefixes(...texts: readonly string[]): readonly Prefix[] {
  return texts.flatMap((text) => parsePrefix(text) ?? []);
}
