import type { MappingView, NetcheckView, RelayView } from "@mesh/core/api";
import { formatRtt, formatSpan, NOTHING } from "./quantities.ts";
import { renderHealth } from "./status.ts";
import { headerRow, type Style } from "./style.ts";
import { type Cell, formatTable } from "./table.ts";

const LABEL_WIDTH = 8;
const HEADER = ["RELAY", "RTT", "HOME", "ASKED", "PATH"];
/** Relays that are shown; the nearest come first. */
const MAX_RELAY_LINES = 16;

/** What a mapping is called in one line, with other facts. */
export const MAPPING_WORDS: Readonly<Record<MappingView, string>> = {
  none: "no NAT",
  "endpoint-independent": "NAT with one port for all",
  "endpoint-dependent": "NAT with another port for each destination",
  unknown: "NAT not known",
};

export function renderNetcheck(view: NetcheckView, style: Style): string {
  const label = (name: string, text: string): string => `${style.paint.bold(name.padEnd(LABEL_WIDTH))}  ${text}`;
  const lines = [
    label("udp", udpText(view, style)),
    label("nat", mappingText(view, style)),
    ...view.seen.map(({ endpoint, by }) => label("seen as", `${endpoint} by ${by.join(", ")}`)),
    label("unasked", unaskedText(view, style)),
    label("ipv6", ipv6Text(view, style)),
    ...(view.portMapping === undefined ? [] : [label("port map", portMappingText(view.portMapping))]),
    ...(view.hairpin === undefined
      ? []
      : [label("hairpin", view.hairpin ? "works: neighbours meet at the public address" : "does not work")]),
    label("homes", homesText(view)),
  ];
  return `${[lines.join("\n"), renderRelays(view, style), renderHealth(view.health, style)].join("\n\n")}\n`;
}

function udpText({ udp }: NetcheckView, { paint, now }: Style): string {
  const peers = udp.answeredBy === 1 ? "one peer" : `${udp.answeredBy} peers`;
  const ago = udp.answeredAt === undefined ? "" : `, last ${formatSpan(now - udp.answeredAt)} ago`;
  switch (udp.state) {
    case "works":
      return `${paint.green("works")}: ${peers} answered lately${ago}`;
    case "silent":
      return `${paint.red("no answer")}: peers were asked and none answered; does a firewall drop UDP here?`;
    case "unknown":
      return "not known: no peer was asked lately";
  }
}

function mappingText({ mapping, seen }: NetcheckView, { paint }: Style): string {
  switch (mapping) {
    case "none":
      return `${paint.green("none")}: others see this host's own address`;
    case "endpoint-independent":
      return `${paint.green("one port for all")} (endpoint-independent): direct paths open when both sides try`;
    case "endpoint-dependent":
      return `${paint.yellow("another port for each destination")} (endpoint-dependent): to nodes behind strict NATs packets are relayed`;
    case "unknown":
      return seen.length === 0
        ? "not known: no peer has said where it sees this node"
        : "there is one; which kind shows when a second public node is in the mesh";
  }
}

function unaskedText({ reachable }: NetcheckView, { paint }: Style): string {
  return reachable
    ? `${paint.green("yes")}: others reach this node whenever they want`
    : "not known: nobody has come in that this node had not sent to";
}

function ipv6Text({ ipv6 }: NetcheckView, { paint }: Style): string {
  if (ipv6.works) return `${paint.green("works")}: a peer answered over it`;
  if (ipv6.addresses.length === 0) return "no global address: paths are IPv4 only";
  return `${ipv6.addresses.join(", ")}, and no peer has answered over it lately`;
}

function portMappingText({ protocol, endpoint }: NonNullable<NetcheckView["portMapping"]>): string {
  return endpoint === undefined
    ? `the router was asked by ${protocol}, and maps nothing`
    : `${endpoint} by ${protocol}: others are let in there`;
}

function homesText({ homes, reachable }: NetcheckView): string {
  if (homes.length > 0)
    return `${homes.map(({ name }) => name).join(", ")}: others find this node by ${homes.length === 1 ? "it" : "them"}`;
  return reachable ? "none, and none is needed" : "none: no member that relays answers, so others may not find this node";
}

function renderRelays({ relays, homes }: NetcheckView, style: Style): string {
  if (relays.length === 0) return "No other member relays. One with a public address does so by itself.";
  const rows = relays.slice(0, MAX_RELAY_LINES).map((relay) =>
    relayRow(
      relay,
      homes.findIndex(({ id }) => id === relay.id),
      style,
    ),
  );
  const left = relays.length - rows.length;
  return `${formatTable([headerRow(HEADER, style), ...rows])}${left > 0 ? `\nand ${left} more: mesh netcheck --json` : ""}`;
}

function relayRow({ name, answers, path, rttMs, everyMs }: RelayView, rank: number, { paint }: Style): readonly Cell[] {
  const rtt: Cell = answers && rttMs !== undefined ? formatRtt(rttMs) : { text: "no answer", paint: paint.red };
  const home = rank === -1 ? NOTHING : rank === 0 ? "in use" : "standby";
  const every = everyMs === undefined ? NOTHING : `every ${formatSpan(everyMs)}`;
  return [name, path === undefined ? NOTHING : rtt, home, every, path ?? "no address known"];
}
