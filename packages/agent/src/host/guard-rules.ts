import { formatPrefix, type Ip, ipFamily, type LinkPlan, type Prefix, prefixContains } from "@mesh/core/ports";
import type { NftObjects } from "./nft-command.ts";

/**
 * The guard against spoofing, one chain before everything else (hook prerouting, priority raw), for packets that arrive
 * and have not come by the tunnel or from this host itself:
 *  1. to one of this node's mesh addresses: dropped. Whoever is on the same LAN could otherwise talk to what listens on
 *     the mesh only, and find out which connections it has (CVE-2019-14899);
 *  2. from an address of the mesh that this host would answer through the tunnel: dropped;
 *  3. from one of this node's own mesh addresses: dropped, except copies of its own multicasts.
 * Every rule asks the routing table as well. So nothing of others is touched where a more specific route leads elsewhere
 * (a LAN whose prefix lies in the mesh's), and a table that a crash left behind drops nothing once the tunnel is gone.
 */
const MARK = "mesh guard";

/** What a plan says about the guard, and the kernel's number of its device. */
export type GuardPlan = Pick<LinkPlan, "device" | "addresses" | "routes"> & { readonly index: number };

export function guardTable(device: string): string {
  return `mesh_${device}`;
}

/** A script for `nft -f`, one transaction: the table is replaced whole, there is no moment without it. */
export function guardScript(plan: GuardPlan): string {
  const table = `table inet ${guardTable(plan.device)}`;
  return [
    table,
    `delete ${table}`,
    `${table} {`,
    "  chain guard {",
    "    type filter hook prerouting priority -300; policy accept;",
    `    iifname { "lo", "${plan.device}" } accept comment "${markOf(plan.index)}"`,
    ...familyRules(plan, 4),
    ...familyRules(plan, 6),
    "  }",
    "}",
    "",
  ].join("\n");
}

/**
 * Was the table made by {@link guardScript}, for this device or, without `index`, for any? Another program's table of that name is
 * not touched. One without any rule does nothing for anybody: it is what a flush leaves of ours.
 */
export function isOurTable(objects: NftObjects, index?: number): boolean {
  const rules = objects.flatMap(({ rule }) => (rule === undefined ? [] : [rule as { readonly comment?: unknown }]));
  const isMark = (comment: unknown): boolean =>
    index === undefined ? comment === MARK || (typeof comment === "string" && comment.startsWith(markOf(""))) : comment === markOf(index);
  return rules.length === 0 || rules.some(({ comment }) => isMark(comment));
}

function markOf(index: number | ""): string {
  return `${MARK} of device ${index}`;
}

/** Equal for equal rules, whatever they counted and whatever handles the kernel gave them. */
export function tableContent(objects: NftObjects): string {
  return JSON.stringify(objects, (key, value: unknown) => (key === "handle" || key === "packets" || key === "bytes" ? undefined : value));
}

function familyRules(plan: GuardPlan, family: 4 | 6): readonly string[] {
  const own = plan.addresses.filter((ip) => ipFamily(ip) === family);
  // Without an address of this family the mesh does not use it on this host: its prefix belongs to somebody else here.
  if (own.length === 0) return [];
  const routed = outermost(plan.routes.filter((prefix) => ipFamily(prefix.ip) === family)).map(formatPrefix);
  const header = family === 4 ? "ip" : "ip6";
  const drop = (why: string): string => `counter drop comment "${MARK}: ${why}"`;
  return [
    `    ${header} daddr ${setOf(own)} fib daddr type local ${drop("to this node, not by the tunnel")}`,
    ...(routed.length === 0
      ? []
      : [`    ${header} saddr ${setOf(routed)} fib saddr oifname "${plan.device}" ${drop("from the mesh, not by the tunnel")}`]),
    `    ${header} saddr ${setOf(own)} fib saddr type local fib daddr type != { multicast, broadcast } ${drop("from this node itself")}`,
  ];
}

/** nft refuses a set in which one prefix lies within another. */
function outermost(prefixes: readonly Prefix[]): readonly Prefix[] {
  const lies = (inner: Prefix, i: number, outer: Prefix, j: number): boolean =>
    prefixContains(outer, inner.ip) && (outer.length < inner.length || (outer.length === inner.length && j < i));
  return prefixes.filter((inner, i) => !prefixes.some((outer, j) => lies(inner, i, outer, j)));
}

function setOf(entries: readonly (Ip | string)[]): string {
  return `{ ${entries.join(", ")} }`;
}
