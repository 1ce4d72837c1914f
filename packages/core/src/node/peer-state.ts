import { formatEndpoint } from "../address/endpoint.ts";
import type { PeerState } from "../api/views.ts";
import type { PeerPath } from "../path/path-monitor.ts";
import type { Millis } from "../time/millis.ts";

/** Serf's words for what the path and the control link tell together. */
export function peerState({ state }: PeerPath, isLinked: boolean): PeerState {
  switch (state.name) {
    case "direct":
      return "alive";
    case "suspect":
      return "suspect";
    case "failed":
      return isLinked ? "suspect" : "failed";
    case "probing":
      if (state.failedAt !== undefined) return isLinked ? "suspect" : "failed";
      return isLinked ? "alive" : "unknown";
    case "dormant":
      return isLinked ? "alive" : "unknown";
  }
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
