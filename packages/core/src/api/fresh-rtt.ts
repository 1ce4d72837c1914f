import type { PeerView } from "./views.ts";

/** Milliseconds. A round trip measured longer ago says nothing about now: the peer may be in another network by then. */
const FRESH_FOR = 30_000;

/** The peer's round trip in milliseconds when it is worth showing at `wallNow`, otherwise undefined. */
export function freshRtt({ rttMs, rttAt, heardAt }: PeerView, wallNow: number): number | undefined {
  const at = rttAt ?? heardAt;
  return at !== undefined && wallNow - at <= FRESH_FOR ? rttMs : undefined;
}
