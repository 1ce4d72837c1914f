import { addressBits, formatPrefix, type Ip, ipFamily, type LinkPlan, type Prefix } from "@mesh/core/ports";
import { type AddressChange, addCommand, MAIN_TABLE, type RouteChange, removeCommand } from "./host-change.ts";
import type { LinkRoute, LinkState } from "./link-state.ts";

/** What leads from the state of a device to a plan; all empty when it is there already. */
export interface LinkDifference {
  /** Of an older plan. */
  readonly gone: readonly (AddressChange | RouteChange)[];
  /** Words after `ip`. The device is our own: they end with it. */
  readonly settings: readonly string[];
  readonly fresh: readonly (AddressChange | RouteChange)[];
}

export function linkDifference(state: LinkState, plan: LinkPlan): LinkDifference {
  const on = { device: plan.device, index: state.index };
  const wanted = plan.routes.map((prefix) => ({ prefix, source: sourceFor(prefix, plan.addresses) }));
  const address = (ip: Ip): AddressChange => ({ kind: "address", ...on, address: `${ip}/${addressBits(ipFamily(ip))}` });
  const route = ({ prefix, source }: LinkRoute): RouteChange => ({
    kind: "route",
    ...on,
    prefix: formatPrefix(prefix),
    ...(source === undefined ? {} : { source }),
    table: MAIN_TABLE,
  });
  return {
    gone: [
      ...state.routes.filter((one) => !wanted.some((other) => sameRoute(one, other))).map(route),
      ...state.addresses.filter((ip) => !plan.addresses.includes(ip)).map(address),
    ],
    settings: linkSettings(state, plan),
    fresh: [
      ...plan.addresses.filter((ip) => !state.addresses.includes(ip)).map(address),
      ...wanted.filter((one) => !state.routes.some((other) => sameRoute(one, other))).map(route),
    ],
  };
}

/**
 * The words of each `ip` command. What goes leaves before what comes, routes before the addresses they name, because the
 * kernel drops the routes of an address that goes. `route add` and never `replace`: replacing would take over another
 * program's route to the same prefix.
 */
export function linkCommands({ gone, settings, fresh }: LinkDifference): readonly string[] {
  return [...gone.map(removeCommand), ...settings, ...fresh.map(addCommand)];
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

function sameRoute(a: LinkRoute, b: LinkRoute): boolean {
  return a.prefix.ip === b.prefix.ip && a.prefix.length === b.prefix.length && a.source === b.source;
}
