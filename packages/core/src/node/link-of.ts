import { type AddressPlan, address4, address6 } from "../address/address-plan.ts";
import type { Ip } from "../address/ip.ts";
import type { Prefix } from "../address/prefix.ts";

/** The tunnel's addresses and routes; none without a number. Where the mesh's IPv4 prefix collides with a route of the host, IPv6 alone. */
export function linkOf(
  plan: AddressPlan,
  options: { readonly number: number | undefined; readonly isIpv4Usable: boolean },
): { readonly addresses: readonly Ip[]; readonly routes: readonly Prefix[] } {
  const { number, isIpv4Usable } = options;
  if (number === undefined) return { addresses: [], routes: [] };
  const v6 = { ip: address6(plan, number), prefix: plan.prefix6 };
  const used = isIpv4Usable ? [{ ip: address4(plan, number), prefix: plan.prefix4 }, v6] : [v6];
  return { addresses: used.map(({ ip }) => ip), routes: used.map(({ prefix }) => prefix) };
}
