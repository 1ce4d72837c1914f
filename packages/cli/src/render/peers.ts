import type { PeerView, SelfView } from "@mesh/core/api";
import type { PeersView } from "../commands/peers.ts";
import { formatSpan, NOTHING } from "./quantities.ts";
import { headerRow, type Style, stateCell } from "./style.ts";
import { type Cell, formatTable } from "./table.ts";
import { trafficCells } from "./traffic-cells.ts";

const HEADER = [
  "NODE",
  "NO",
  "ROLE",
  "STATE",
  "PATH",
  "RTT",
  "RX",
  "TX",
  "SESSION",
  "HEARD",
  "LINK",
  "ADDRESS",
  "SUBNET",
  "ADDRESS6",
  "SUBNET6",
  "ID",
];

/** Digits of an id that `mesh ping` takes. */
const ID_DIGITS = 8;

export function renderPeers({ self, peers }: PeersView, style: Style): string {
  return `${formatTable([headerRow(HEADER, style), selfRow(self, style), ...peers.map((peer) => peerRow(peer, style))])}\n`;
}

function selfRow(self: SelfView, style: Style): readonly Cell[] {
  const { number, role, address4 = NOTHING, address6, subnet4, subnet6 } = self;
  const unused = [NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING];
  const addresses = [address4, subnet4, address6, subnet6, self.id.slice(0, ID_DIGITS)];
  return [self.name, String(number), role, stateCell("alive", false, style), "this node", ...unused, ...addresses];
}

function peerRow(peer: PeerView, style: Style): readonly Cell[] {
  return [
    peer.name,
    String(peer.number),
    peer.role,
    stateCell(peer.state, peer.conflict === true, style),
    peer.path,
    ...trafficCells(peer, style.now),
    peer.sessionAt === undefined ? NOTHING : formatSpan(style.now - peer.sessionAt),
    peer.heardAt === undefined ? NOTHING : `${formatSpan(style.now - peer.heardAt)} ago`,
    peer.linked ? "up" : NOTHING,
    peer.address4,
    peer.subnet4,
    peer.address6,
    peer.subnet6,
    peer.id.slice(0, ID_DIGITS),
  ];
}
