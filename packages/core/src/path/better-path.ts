import type { NodeId } from "../ids/node-id.ts";
import type { Millis } from "../time/millis.ts";
import { type Candidate, isTcpEndpoint } from "./candidate.ts";
import { BETTER_BY, BETTER_RATIO, type PathInUse, RELAY_BETTER_BY, RELAY_BETTER_RATIO } from "./path-state.ts";

/**
 * Straight is better than relayed, and UDP than TCP, which is slow where packets are lost; of one class, what is faster by enough,
 * or anything while the path in use is silent. `tcpRelays`: those that we reach by TCP alone.
 */
export function isBetter(
  { candidate, rtt }: { readonly candidate: Candidate; readonly rtt: Millis },
  { path, asked }: PathInUse,
  tcpRelays: readonly NodeId[],
): boolean {
  const [found, used] = [classOf(candidate, tcpRelays), classOf(path.candidate, tcpRelays)];
  if (found !== used) return found < used;
  if (asked > 0) return true;
  return candidate.type === "direct"
    ? rtt <= path.rtt - BETTER_BY && rtt <= path.rtt * BETTER_RATIO
    : rtt <= path.rtt - RELAY_BETTER_BY && rtt <= path.rtt * RELAY_BETTER_RATIO;
}

/** The lower the better: straight, by a relay, to a member by TCP, by a relay by TCP. */
function classOf(candidate: Candidate, tcpRelays: readonly NodeId[]): number {
  if (candidate.type === "direct") return isTcpEndpoint(candidate.endpoint) ? 2 : 0;
  return tcpRelays.includes(candidate.relay) ? 3 : 1;
}
