import { formatEndpoint } from "../address/endpoint.ts";
import type { PeerState } from "../api/views.ts";
import type { PeerPath } from "../path/path-monitor.ts";
import { type Millis, seconds } from "../time/millis.ts";

/** Serf's words for what the path and the control link tell together. */
export function peerState(path: PeerPath, isLinked: boolean): PeerState {
  switch (path.state.name) {
    case "direct":
      return "alive";
    case "suspect":
      return "suspect";
    case "failed":
    case "probing":
    case "dormant":
      if (isUnreached(path)) return isLinked ? "suspect" : "failed";
      return isLinked ? "alive" : "unknown";
    case "stopped":
      return "left";
  }
}

/** No path was found to it, and since then none. */
export function isUnreached({ state }: PeerPath): boolean {
  return state.name === "failed" || (state.name === "probing" && state.failedAt !== undefined);
}

/** A receiver that has nothing to say sends a keepalive after 10 s; with its way back and the stamps of two ends this long is too long. */
const UNANSWERED_FOR: Millis = seconds(13);

/** Packets go to the peer by the tunnel, none comes from it, and yet it answers probes. */
export function isUnheardInTunnel(
  peer: { readonly path: PeerPath; readonly unansweredAt: Millis | undefined } | undefined,
  now: Millis,
): boolean {
  return peer?.path.state.name === "direct" && peer.unansweredAt !== undefined && now - peer.unansweredAt > UNANSWERED_FOR;
}

/** How packets to the peer travel, or why they do not. */
export function pathText({ state, candidates }: PeerPath, now: Millis): string {
  switch (state.name) {
    case "direct":
      return `direct ${formatEndpoint(state.path.endpoint)}`;
    case "suspect":
      return `no answer for ${age(now - state.sinceAt)}, last direct ${formatEndpoint(state.path.endpoint)}`;
    case "failed":
      return noAnswer(state.failedAt);
    case "probing":
      if (state.failedAt !== undefined) return noAnswer(state.failedAt);
      return candidates.length === 0
        ? "no address known yet"
        : `trying ${candidates.length === 1 ? "1 address" : `${candidates.length} addresses`}`;
    case "dormant":
      return candidates.length === 0 ? "no address known yet" : "not tried yet";
    case "stopped":
      return "stopped";
  }

  function noAnswer(sinceAt: Millis): string {
    return candidates.length === 0 ? "no address known" : `no answer for ${age(now - sinceAt)}`;
  }
}

/** A duration as people say it, in its largest unit. */
function age(span: Millis): string {
  const units = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1_000],
  ] as const;
  const unit = units.find(([, length]) => span >= length);
  return unit === undefined ? "1 s" : `${Math.floor(span / unit[1])} ${unit[0]}`;
}
