import type { NodeId } from "../ids/node-id.ts";
import { sameCandidate } from "../path/candidate.ts";
import { type Millis, seconds } from "../time/millis.ts";
import type { Peer } from "./peer.ts";
import { provenOf } from "./peer-state.ts";

/** A handshake message takes a busy node longer to answer than a PING. */
const ANSWERED_WITHIN: Millis = 50;
/** A relay that does not know us where we are asks at once. */
const ASKED_WITHIN: Millis = seconds(1);

/**
 * A way works that an initiation may have been lost on before, or did not take: when it is to be repeated. At once where it went only
 * to places that nothing was known of, else when an answer would have come: a new one makes the answer to the last worthless.
 * WireGuard alone would wait 5 s. undefined: nothing is proven.
 */
export function repeatAfterProof({ path, handshake }: Peer, now: Millis): Millis | undefined {
  const proven = provenOf(path);
  if (proven === undefined) return undefined;
  const mayHaveCome = handshake.by.some((candidate) => candidate.type === "relay" || sameCandidate(candidate, proven.candidate));
  return mayHaveCome ? handshake.sentAt + 2 * proven.rtt + ANSWERED_WITHIN : now;
}

/** The relay asks whether we are here: until it has that answer, it passes nothing on from here, and did not pass on what went by it before. */
export function isLostAt(relay: NodeId, { handshake }: Peer, now: Millis): boolean {
  const wentByIt = handshake.by.some((candidate) => candidate.type === "relay" && candidate.relay === relay);
  return wentByIt && now < handshake.sentAt + ASKED_WITHIN;
}
