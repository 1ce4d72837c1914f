import { type AddressPlan, address4, address6 } from "../address/address-plan.ts";
import { MeshError } from "../errors.ts";
import { type NodeId, parseNodeId } from "../ids/node-id.ts";
import type { Member } from "../membership/membership.ts";

/** A member other than `self`, by name, address or id (whole, or its first 8 digits or more); throws a MeshError when there is none. */
export function findMember(
  target: string,
  among: { readonly members: ReadonlyMap<NodeId, Member>; readonly plan: AddressPlan; readonly self: NodeId },
): Member {
  const { members, plan, self } = among;
  const found = [...members.values()].find(({ id, name, certificate }) => {
    if (target === name || parseNodeId(target) === id) return true;
    if (/^[0-9a-f]{8,63}$/.test(target) && id.startsWith(target)) return true;
    return target === address4(plan, certificate.number) || target === address6(plan, certificate.number);
  });
  const hint = "`mesh peers` lists the names and addresses of all nodes.";
  if (found === undefined)
    throw new MeshError("peer/unknown", `No node of this network is called ${target}.`, { wanted: target }, { hint });
  if (found.id === self) throw new MeshError("peer/unknown", `${target} is this node itself.`, { wanted: target }, { hint });
  return found;
}
