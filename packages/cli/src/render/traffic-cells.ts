import type { PeerView } from "@mesh/core/api";
import { formatBytes, formatRtt, NOTHING } from "./quantities.ts";
import type { Cell } from "./table.ts";

/** The columns RTT, RX and TX. */
export function trafficCells({ rttMs, receivedBytes, sentBytes }: PeerView): readonly Cell[] {
  return [
    rttMs === undefined ? NOTHING : formatRtt(rttMs),
    receivedBytes === 0 ? NOTHING : formatBytes(receivedBytes),
    sentBytes === 0 ? NOTHING : formatBytes(sentBytes),
  ];
}
