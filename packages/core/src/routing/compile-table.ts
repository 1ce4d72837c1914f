import { type AddressPlan, subnet4, subnet6 } from "../address/address-plan.ts";
import type { Prefix } from "../address/prefix.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { Member } from "../membership/membership.ts";
import type { ForwardingRoute, ForwardingTable, PeerSlot } from "../ports/datapath.ts";

/** Members as forwarding sees them: everyone but ourselves, each with the prefixes that are its own. */
export function compileTable(
  plan: AddressPlan,
  members: Iterable<Member>,
  slotOf: (node: NodeId) => PeerSlot | undefined,
): ForwardingTable {
  const peers: PeerSlot[] = [];
  const routes: ForwardingRoute[] = [];
  for (const member of members) {
    const slot = slotOf(member.id);
    if (slot === undefined) continue;
    peers.push(slot);
    for (const prefix of prefixesOf(plan, member)) routes.push({ prefix, slot });
  }
  return { peers, roaming: [], routes };
}

/** The prefixes routed to a member: none when another certificate won its number. */
export function prefixesOf(plan: AddressPlan, member: Member): readonly Prefix[] {
  const { number } = member.certificate;
  return member.isConflicted ? [] : [subnet4(plan, number), subnet6(plan, number)];
}
