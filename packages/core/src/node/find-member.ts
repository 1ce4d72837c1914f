import { type AddressPlan, subnet4, subnet6 } from "../address/address-plan.ts";
import { parseIp } from "../address/ip.ts";
import { prefixContains } from "../address/prefix.ts";
import { MeshError } from "../errors.ts";
import { type NodeId, parseNodeId } from "../ids/node-id.ts";
import type { Member } from "../membership/membership.ts";

type Findable = Pick<Member, "id" | "name"> & { readonly certificate: Pick<Member["certificate"], "number"> };

/** A member other than `self`, by name, by any address of its subnets, or by id (whole, or its first 8 digits or more); throws a MeshError when there is none. */
export function findMember<M extends Findable>(
  target: string,
  among: { readonly members: ReadonlyMap<NodeId, M>; readonly plan: AddressPlan; readonly self: NodeId },
): M {
  const { members, plan, self } = among;
  const ip = parseIp(target);
  const found = [...members.values()].find(({ id, name, certificate: { number } }) => {
    if (ip !== undefined) return [subnet4(plan, number), subnet6(plan, number)].some((subnet) => prefixContains(subnet, ip));
    if (target.toLowerCase() === name.toLowerCase() || parseNodeId(target) === id) return true;
    return /^[0-9a-f]{8,63}$/.test(target) && id.startsWith(target);
  });
  const hint = "`mesh peers` lists the names and addresses of all nodes.";
  if (found === undefined)
    throw new MeshError("peer/unknown", `No node of this network is called ${target}.`, { wanted: target }, { hint });
  if (found.id === self) throw new MeshError("peer/unknown", `${target} is this node itself.`, { wanted: target }, { hint });
  return found;
}
