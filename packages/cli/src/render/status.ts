import type { HealthView, PeerView, StatusView } from "@mesh/core/api";
import { formatInstant } from "./quantities.ts";
import { headerRow, type Style, stateCell } from "./style.ts";
import { type Cell, formatTable } from "./table.ts";
import { trafficCells } from "./traffic-cells.ts";

const HEADER = ["NODE", "ADDRESS", "STATE", "PATH", "RTT", "RX", "TX", "SUBNET"];

export function renderStatus(view: StatusView, style: Style): string {
  const parts = [renderSelf(view, style), renderPeers(view, style), renderHealth(view.health, style)];
  return `${parts.join("\n\n")}\n`;
}

function renderSelf({ network, self, tunnel, control }: StatusView, { now, paint }: Style): string {
  const width = Math.max(network.name.length, "tunnel".length);
  const label = (text: string): string => paint.bold(text.padEnd(width));
  const role = self.holdsRoot ? `${self.role}, holds the root key` : self.role;
  const home = [self.name, self.address4 ?? "no IPv4 address", self.address6, ` since ${formatInstant(self.startedAt, now)}`, ` ${role}`];
  const engine = tunnel.backend === "native" ? tunnel.backend : paint.yellow(`${tunnel.backend} (slow)`);
  const listen = control.listen.length === 0 ? "nowhere" : control.listen.join(", ");
  const mapped = self.mapped === undefined ? "" : ` mapped ${self.mapped.join(", ")}`;
  const links = `${control.links} ${control.links === 1 ? "link" : "links"}`;
  return [
    `${label(network.name)}  ${home.join("  ")}`,
    `${label("tunnel")}  ${tunnel.device}  mtu ${tunnel.mtu}  udp ${tunnel.udpPort}${mapped}   engine ${engine}   control ${listen}, ${links}`,
  ].join("\n");
}

function renderPeers({ peers, self }: StatusView, style: Style): string {
  if (peers.length > 0) return formatTable([headerRow(HEADER, style), ...peers.map((peer) => peerRow(peer, style))]);
  return self.role === "admin" ? "No other node yet. Invite one: mesh invite" : "No other node is known yet.";
}

function peerRow(peer: PeerView, style: Style): readonly Cell[] {
  return [
    peer.name,
    peer.address4,
    stateCell(peer.state, peer.conflict === true, style),
    peer.path,
    ...trafficCells(peer, style.now),
    peer.subnet4,
  ];
}

/** Health lines that are shown; errors come first, so that none is among those left out. */
const MAX_HEALTH_LINES = 8;

export function renderHealth(health: readonly HealthView[], { paint }: Style): string {
  if (health.length === 0) return `health: ${paint.green("all is well")}`;
  const sorted = health.toSorted((a, b) => Number(b.level === "error") - Number(a.level === "error"));
  const lines = sorted.slice(0, MAX_HEALTH_LINES).map(({ level, text, hint }) => {
    const mark = level === "error" ? paint.red : paint.yellow;
    return `health: ${mark(`${level === "error" ? "error: " : ""}${text}`)}${hint === undefined ? "" : ` (${hint})`}`;
  });
  const left = health.length - lines.length;
  return [...lines, ...(left > 0 ? [`health: and ${left} more: mesh status --json`] : [])].join("\n");
}
