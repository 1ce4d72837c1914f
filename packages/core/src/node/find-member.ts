import { type AddressPlan, subnet4, subnet6 } from "../address/address-plan.ts";
import { type Ip, ipFamily, parseIp } from "../address/ip.ts";
import { addressBits, type Prefix, parsePrefix, prefixesOverlap } from "../address/prefix.ts";
import { MeshError } from "../errors.ts";
import { type NodeId, parseNodeId } from "../ids/node-id.ts";
import type { Member } from "../membership/membership.ts";

type Findable = Pick<Member, "id" | "name"> & {
  readonly certificate: Pick<Member["certificate"], "number">;
  /** Its number's addresses are another node's. */
  readonly isConflicted?: boolean;
};

/** Names that an error lists. */
const MAX_NAMED = 4;

/**
 * A member other than `self`: by name, by any address of its subnets or a prefix within, or by id (whole, or its first 8 digits or
 * more). Throws MeshError `peer/unknown` when there is none, `peer/ambiguous` when it could be several.
 */
export function findMember<M extends Findable>(
  target: string,
  among: { readonly members: ReadonlyMap<NodeId, M>; readonly plan: AddressPlan; readonly self: NodeId },
): M {
  const hint = "`mesh peers` lists the names and addresses of all nodes.";
  const prefix = targetPrefix(target);
  const found = prefix === undefined ? byName(target, [...among.members.values()]) : holdersOf(prefix, among);
  const [first, ...others] = found;
  if (first === undefined) {
    const what = prefix === undefined ? `is called ${target}` : `has ${target}`;
    throw new MeshError("peer/unknown", `No node of this network ${what}.`, { wanted: target }, { hint });
  }
  if (others.length > 0) {
    const names = found.slice(0, MAX_NAMED).map(({ name }) => name);
    const more = found.length > MAX_NAMED ? ` and ${found.length - MAX_NAMED} more` : "";
    const options = { hint: `Ask for one of them by its name. ${hint}` };
    throw new MeshError("peer/ambiguous", `${target} could be any of ${names.join(", ")}${more}.`, { wanted: target, names }, options);
  }
  if (first.id === among.self) throw new MeshError("peer/unknown", `${target} is this node itself.`, { wanted: target }, { hint });
  return first;
}

/** An address, or a range of them; undefined for names and ids. */
export function targetPrefix(target: string): Prefix | undefined {
  const ip = parseIp(target);
  return ip === undefined ? parsePrefix(target) : single(ip);
}

function single(ip: Ip): Prefix {
  return { ip, length: addressBits(ipFamily(ip)) };
}

function holdersOf<M extends Findable>(
  prefix: Prefix,
  { members, plan }: { readonly members: ReadonlyMap<NodeId, M>; readonly plan: AddressPlan },
): readonly M[] {
  return [...members.values()].filter(
    ({ certificate: { number }, isConflicted }) =>
      isConflicted !== true && [subnet4(plan, number), subnet6(plan, number)].some((subnet) => overlap(subnet, prefix)),
  );
}

function overlap(a: Prefix, b: Prefix): boolean {
  return ipFamily(a.ip) === ipFamily(b.ip) && prefixesOverlap(a, b);
}

/** Whoever has exactly this name or id, else those whose id begins so. */
function byName<M extends Findable>(target: string, members: readonly M[]): readonly M[] {
  const exact = members.find(({ id, name }) => target.toLowerCase() === name.toLowerCase() || parseNodeId(target) === id);
  if (exact !== undefined) return [exact];
  return /^[0-9a-f]{8,63}$/.test(target) ? members.filter(({ id }) => id.startsWith(target)) : [];
}
