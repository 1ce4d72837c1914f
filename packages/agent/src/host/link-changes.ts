import { addressBits, formatPrefix, type Ip, ipFamily, type LinkPlan, type Prefix } from "@mesh/core/ports";
import { type LinkRoute, type LinkState, ROUTE_PROTOCOL } from "./link-state.ts";

/**
 * The `ip` commands that lead from the state to the plan; none when it is there already. What goes leaves before what
 * comes, routes before the addresses they name, because the kernel drops the routes of an address that goes.
 * `route add` and never `replace`: replacing would take over another program's route to the same prefix.
 */
export function linkChanges(state: LinkState, plan: LinkPlan): readonly string[] {
  const dev = `dev ${plan.device}`;
  const wanted = plan.routes.map((prefix) => ({ prefix, source: sourceFor(prefix, plan.addresses) }));
  const staleRoutes = state.routes.filter((route) => !wanted.some((other) => sameRoute(route, other)));
  const newRoutes = wanted.filter((route) => !state.routes.some((other) => sameRoute(route, other)));
  const staleAddresses = state.addresses.filter((ip) => !plan.addresses.includes(ip));
  const newAddresses = plan.addresses.filter((ip) => !state.addresses.includes(ip));
  return [
    ...staleRoutes.map(({ prefix }) => `route del ${formatPrefix(prefix)} ${dev} proto ${ROUTE_PROTOCOL}`),
    ...staleAddresses.map((ip) => `address del ${single(ip)} ${dev}`),
    ...linkSettings(state, plan),
    ...newAddresses.map((ip) => `address add ${single(ip)} ${dev} noprefixroute${ipFamily(ip) === 6 ? " nodad" : ""}`),
    ...newRoutes.map((route) => `route add ${formatPrefix(route.prefix)} ${dev} proto ${ROUTE_PROTOCOL}${sourceClause(route)}`),
  ];
}

function linkSettings(state: LinkState, plan: LinkPlan): readonly string[] {
  const set = `link set dev ${plan.device}`;
  const settings = [...(state.mtu === plan.mtu ? [] : [`mtu ${plan.mtu}`]), ...(state.isUp ? [] : ["up"])];
  return [
    // A command of its own, before `up`: in one command the kernel brings the link up first. A tunnel has no use for a
    // link-local address, and router solicitations would go to peers.
    ...(state.isAddressGenerationOff ? [] : [`${set} addrgenmode none`]),
    ...(settings.length === 0 ? [] : [`${set} ${settings.join(" ")}`]),
  ];
}

function sourceFor(prefix: Prefix, addresses: readonly Ip[]): Ip | undefined {
  return addresses.find((ip) => ipFamily(ip) === ipFamily(prefix.ip));
}

function sourceClause(route: LinkRoute): string {
  return route.source === undefined ? "" : ` src ${route.source}`;
}

function sameRoute(a: LinkRoute, b: LinkRoute): boolean {
  return a.prefix.ip === b.prefix.ip && a.prefix.length === b.prefix.length && a.source === b.source;
}

function single(ip: Ip): string {
  return `${ip}/${addressBits(ipFamily(ip))}`;
}
