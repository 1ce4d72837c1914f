import { addressBits, ipFamily, parseIp, parsePrefix } from "@mesh/core/ports";

/**
 * One change of the host that can outlive this process, told so that it can be undone by another one: what it is, how to
 * know it again as ours, and how it was before. What was there before us is no change.
 */
export type HostChange = LinkChange | AddressChange | RouteChange | RuleChange | SysctlChange | TableChange;

/** A device that we made. `mac` is drawn for it and marks it as ours, whatever it is called later. */
export interface LinkChange {
  readonly kind: "link";
  readonly device: string;
  /** As `ip link add … type` wants it: `bridge`, or `veth peer name x`. */
  readonly type: string;
  /** Lower case, with colons. */
  readonly mac: string;
}

/** Without a route of its own; marked by that (link-state.ts). */
export interface AddressChange extends OnDevice {
  readonly kind: "address";
  /** With its length: `10.77.2.1/32`. */
  readonly address: string;
}

/** Marked by our protocol number. */
export interface RouteChange extends OnDevice {
  readonly kind: "route";
  readonly prefix: string;
  readonly source?: string;
  readonly table: number;
}

/** Marked by our protocol number. */
export interface RuleChange {
  readonly kind: "rule";
  readonly family: 4 | 6;
  readonly priority: number;
  /** As `ip rule` wants it: `iif mesh0`, `from 10.77.0.0/16 fwmark 0x5`. */
  readonly selector: string;
  readonly table: number;
}

export interface SysctlChange {
  readonly kind: "sysctl";
  /** Below /proc/sys: `net/ipv6/conf/mesh0/disable_ipv6`. */
  readonly path: string;
  readonly before: string;
  readonly after: string;
  /** Of the device that the path names, if it names one. */
  readonly index?: number;
}

/** Of the family inet, the only one we use. Marked by comments that name the device by its number (guard-rules.ts). */
export interface TableChange {
  readonly kind: "nft-table";
  readonly table: string;
  /** The kernel's number of the device it guards: a table of that name may be another agent's by now. */
  readonly index: number;
}

interface OnDevice {
  readonly device: string;
  /** The kernel gives no number twice while the namespace lives: another device of that name is not ours. */
  readonly index: number;
}

/**
 * Marks our routes and rules in the kernel ("m" in ASCII), so that they are known again and nothing else is touched.
 * Unassigned in the kernel's rtnetlink.h (6.18), iproute2's rt_protos (6.1) and FRR's (186 to 198); Calico uses 80, OVN 84.
 */
export const OUR_PROTOCOL = 109;

/** RT_TABLE_MAIN of rtnetlink(7). */
export const MAIN_TABLE = 254;

/** Equal for changes of which one takes the place of the other. */
export function changeKey(change: HostChange): string {
  switch (change.kind) {
    case "link":
      return `link ${change.mac}`;
    case "address":
      return `address ${change.index} ${change.address}`;
    case "route":
      return `route ${change.index} ${change.table} ${change.prefix} ${change.source ?? ""}`;
    case "rule":
      return `rule ${change.family} ${change.priority} ${change.selector} ${change.table}`;
    case "sysctl":
      return `sysctl ${change.path} ${change.index ?? ""}`;
    case "nft-table":
      return `nft-table ${change.index} ${change.table}`;
  }
}

/** What one `ip` command does. */
export type IpChange = LinkChange | AddressChange | RouteChange | RuleChange;

/** The words after `ip` and its options that make the change. */
export function addCommand(change: IpChange): string {
  switch (change.kind) {
    case "link":
      return `link add name ${change.device} address ${change.mac} type ${change.type}`;
    case "address":
      return `address add ${change.address} dev ${change.device} noprefixroute${familyOf(change) === 6 ? " nodad" : ""}`;
    case "route":
      return `route add ${routeWords(change)}${change.source === undefined ? "" : ` src ${change.source}`}`;
    case "rule":
      return `rule add ${ruleWords(change)}`;
  }
}

/** The words after `ip` and its options that take it back. */
export function removeCommand(change: IpChange): string {
  switch (change.kind) {
    case "link":
      return `link delete dev ${change.device}`;
    case "address":
      return `address del ${change.address} dev ${change.device}`;
    case "route":
      return `route del ${routeWords(change)}`;
    case "rule":
      return `rule del ${ruleWords(change)}`;
  }
}

/** Options of `ip` that both commands need. */
export function ipOptions(change: IpChange): readonly string[] {
  return change.kind === "rule" ? [`-${change.family}`] : [];
}

/** What a person types to undo it. */
export function undoByHand(change: HostChange): string {
  if (change.kind === "sysctl") return `sysctl -w ${change.path.replaceAll("/", ".")}=${change.before}`;
  if (change.kind === "nft-table") return `nft delete table inet ${change.table}`;
  return ["ip", ...ipOptions(change), removeCommand(change)].join(" ");
}

/** Of an address, a route or a rule. */
export function familyOf(change: AddressChange | RouteChange | RuleChange): 4 | 6 {
  if (change.kind === "rule") return change.family;
  const text = change.kind === "address" ? change.address : change.prefix;
  return text.includes(":") ? 6 : 4;
}

function routeWords({ prefix, device, table }: RouteChange): string {
  return `${prefix} dev ${device} proto ${OUR_PROTOCOL}${table === MAIN_TABLE ? "" : ` table ${table}`}`;
}

function ruleWords({ priority, selector, table }: RuleChange): string {
  return `pref ${priority} ${selector} lookup ${table} protocol ${OUR_PROTOCOL}`;
}

type Check = (value: unknown) => boolean;

/** Their parts become words of commands: no blank, no sign that a program could read as something else. */
const device: Check = matching(/^\w[\w.-]{0,14}$/);
const words: Check = matching(/^[\w.:/ -]{1,200}$/);
const value: Check = matching(/^[\w.:\t -]{0,200}$/);
const prefix: Check = (text) => typeof text === "string" && parsePrefix(text) !== undefined;
const ip: Check = (text) => typeof text === "string" && parseIp(text) !== undefined;
const address: Check = (text) => {
  if (typeof text !== "string") return false;
  const [, host = "", length = ""] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const parsed = parseIp(host);
  return parsed !== undefined && Number(length) <= addressBits(ipFamily(parsed));
};
const wholeNumber: Check = (number) => Number.isSafeInteger(number) && Number(number) >= 0;

const FIELDS: Readonly<Record<HostChange["kind"], Readonly<Record<string, Check>>>> = {
  link: { device, type: words, mac: matching(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/) },
  address: { device, index: wholeNumber, address },
  route: { device, index: wholeNumber, prefix, source: orAbsent(ip), table: wholeNumber },
  rule: { family: (family) => family === 4 || family === 6, priority: wholeNumber, selector: words, table: wholeNumber },
  sysctl: { path: isSysctlPath, before: value, after: value, index: orAbsent(wholeNumber) },
  "nft-table": { table: matching(/^[\w.-]{1,64}$/), index: wholeNumber },
};

/** undefined when it is not one of the above, whole and well-formed. */
export function parseHostChange(entry: unknown): HostChange | undefined {
  if (typeof entry !== "object" || entry === null) return undefined;
  const source = entry as Readonly<Record<string, unknown>>;
  const { kind } = source;
  const fields = typeof kind === "string" && Object.hasOwn(FIELDS, kind) ? FIELDS[kind as HostChange["kind"]] : undefined;
  if (fields === undefined || !Object.entries(fields).every(([name, check]) => check(source[name]))) return undefined;
  const known = Object.keys(fields).filter((name) => source[name] !== undefined);
  return { kind, ...Object.fromEntries(known.map((name) => [name, source[name]])) } as HostChange;
}

function isSysctlPath(path: unknown): boolean {
  return typeof path === "string" && /^net(\/[\w.@-]+)+$/.test(path) && !path.split("/").includes("..");
}

function matching(pattern: RegExp): Check {
  return (text) => typeof text === "string" && pattern.test(text);
}

function orAbsent(check: Check): Check {
  return (entry) => entry === undefined || check(entry);
}
