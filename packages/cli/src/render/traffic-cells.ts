import { freshRtt, type PeerView } from "@mesh/core/api";
import { formatBytes, formatRtt, NOTHING } from "./quantities.ts";
import type { Cell } from "./table.ts";

/** The columns RTT, RX and TX. A round trip of long ago is not shown. */
export function trafficCells(peer: PeerView, now: number): readonly Cell[] {
  const { receivedBytes, sentBytes } = peer;
  const rtt = freshRtt(peer, now);
  return [
    rtt === undefined ? NOTHING : formatRtt(rtt),
    receivedBytes === 0 ? NOTHING : formatBytes(receivedBytes),
    sentBytes === 0 ? NOTHING : formatBytes(sentBytes),
  ];
}
