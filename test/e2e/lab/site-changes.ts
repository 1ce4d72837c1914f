/**
 * What happens to home networks while their hosts run. Each change returns the internet as it is afterwards; what `LabHost`
 * says of addresses stays what it was.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { compileTool } from "./compile-tool.ts";
import type { Lab, LabHost } from "./lab.ts";
import { NAT_KINDS, type NatKindName } from "./nat-kinds.ts";
import { mustRun } from "./run-command.ts";
import {
  type Gateway,
  gatewayOf,
  gatewayRules,
  type Home,
  type Internet,
  lanAddresses,
  lanDevices,
  lanRoutes,
  placeOf,
  routesBehind,
} from "./sites.ts";
import type { RouteSpec } from "./topology.ts";

/** Switches the NAT of a site or carrier off, for `offMs` if given, and on: it has forgotten every mapping. */
export async function rebootNat(lab: Lab, internet: Internet, name: string, offMs = 0): Promise<void> {
  const gateway = gatewayOf(internet.gateways, name);
  if (offMs > 0) await lab.cut(name, "unplugged");
  await sleep(offMs);
  await restartNat(lab, gateway);
  if (offMs > 0) await lab.heal(name);
}

/** Puts another kind of NAT or firewall in the place of a site's. It starts afresh. */
export async function changeNat(lab: Lab, internet: Internet, name: string, nat: NatKindName): Promise<Internet> {
  const before = gatewayOf(internet.gateways, name);
  const after: Gateway = { ...before, nat, place: placeOf(before, nat) };
  await restartNat(lab, after);
  return { ...internet, gateways: new Map([...internet.gateways, [name, after]]) };
}

/** The provider gives a site or carrier another IPv4 address, and its NAT starts afresh. The old address is nobody's then. */
export async function changeWanAddress(lab: Lab, internet: Internet, name: string): Promise<Internet> {
  const before = gatewayOf(internet.gateways, name);
  const number = nextNumber(before);
  const after: Gateway = { ...before, number, place: placeOf({ ...before, number }, before.nat) };
  const { wanDevice, wanAddresses } = after.place;
  const host = lab.host(after.node);
  await mustRun("ip", ["-n", host.namespace, "-4", "address", "flush", "dev", wanDevice]);
  const addresses = wanAddresses.map((address) => `address add ${address}/24 dev ${wanDevice}`);
  await batch(host, [...addresses, `route replace default via ${after.wan}.1`]);
  const routes = routesBehind(after).filter(({ to }) => !to.includes(":"));
  await batch(lab.host(after.upstream), replaceRoutes(routes));
  await restartNat(lab, after);
  return { ...internet, gateways: new Map([...internet.gateways, [name, after]]) };
}

/** Takes a host from its LAN to another site's: the cable goes and comes, then there are the addresses and routes of that LAN. */
export async function moveHost(lab: Lab, internet: Internet, move: { readonly host: string; readonly to: string }): Promise<Internet> {
  const home = homeOf(internet, move.host);
  const gateway = gatewayOf(internet.gateways, move.to);
  const [here, there] = lanDevices(home.number);
  await lab.replug(move.host, { node: gateway.node, ...there });
  const host = lab.host(move.host);
  for (const family of ["-4", "-6"])
    await mustRun("ip", ["-n", host.namespace, family, "address", "flush", "dev", here, "scope", "global"]);
  const addresses = lanAddresses(gateway, home.number).map((address) => `address add ${address} dev ${here}`);
  await batch(host, [...addresses, ...replaceRoutes(lanRoutes(gateway))]);
  return { ...internet, homes: new Map([...internet.homes, [move.host, { ...home, site: move.to }]]) };
}

/** Without prefix lengths, IPv4 first. */
export function hostAddresses(internet: Internet, host: string): readonly string[] {
  const { site, number } = homeOf(internet, host);
  return lanAddresses(gatewayOf(internet.gateways, site), number).map((address) => address.split("/")[0] ?? address);
}

function homeOf({ homes }: Internet, host: string): Home {
  const home = homes.get(host);
  if (home === undefined) throw new RangeError(`no host ${host} on a LAN, only ${[...homes.keys()].join(", ")}`);
  return home;
}

/** The rules of the NAT that it has now, and nothing remembered. In this order: a packet in between is translated by the new rules or forgotten with the old ones, and none leaves untranslated. */
export async function restartNat(lab: Lab, gateway: Gateway): Promise<void> {
  const { namespace } = lab.host(gateway.node);
  await mustRun("ip", ["netns", "exec", namespace, "nft", "-f", "-"], { input: gatewayRules(gateway) });
  await mustRun("ip", ["netns", "exec", namespace, await compileTool("flush-conntrack")]);
}

/** Ten numbers belong to each gateway of a carrier; of these the next, and behind the last the first again. */
function nextNumber({ nat, number, upstream }: Gateway): number {
  const { wanAddresses } = NAT_KINDS[nat];
  const window = number - (number % 10);
  const next = number + wanAddresses;
  if (next + wanAddresses <= window + 10) return next;
  return upstream === "core" ? 2 : window;
}

function replaceRoutes(routes: readonly RouteSpec[]): readonly string[] {
  return routes.map(({ to, via }) => `route replace ${to} via ${via}`);
}

async function batch({ namespace }: LabHost, lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await mustRun("ip", ["-n", namespace, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}
