import { formatEndpoint } from "../address/endpoint.ts";
import type { PeerState } from "../api/views.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Candidate, isTcpEndpoint } from "../path/candidate.ts";
import type { Path, PeerPath, Search } from "../path/path-state.ts";
import { type Millis, seconds } from "../time/millis.ts";

/** Serf's words for what the path and the control link tell together. */
export function peerState(path: PeerPath, isLinked: boolean): PeerState {
  switch (path.state.name) {
    case "direct":
    case "relayed":
      return "alive";
    case "suspect":
      return "suspect";
    case "failed":
    case "probing":
    case "dormant":
      if (isUnreached(path)) return isLinked ? "suspect" : "failed";
      return isLinked || wasReached(path) ? "alive" : "unknown";
    case "stopped":
      return "left";
  }
}

/** It was there when it was last needed. */
function wasReached({ state }: PeerPath): boolean {
  return state.name === "dormant" && state.last !== undefined;
}

/** No path was found to it, and since then none. */
export function isUnreached(path: PeerPath): boolean {
  return unreachedSince(path) !== undefined;
}

/** When no path was found to it, if none was found since. */
export function unreachedSince({ state }: PeerPath): Millis | undefined {
  return state.name === "failed" || state.name === "probing" ? state.failedAt : undefined;
}

/** A receiver that has nothing to say sends a keepalive after 10 s; with its way back and the stamps of two ends this long is too long. */
const UNANSWERED_FOR: Millis = seconds(13);

/** Packets go to the peer by the tunnel, none comes from it, and yet it answers probes. */
export function isUnheardInTunnel(
  peer: { readonly path: PeerPath; readonly unansweredAt: Millis | undefined } | undefined,
  now: Millis,
): boolean {
  const name = peer?.path.state.name;
  return (name === "direct" || name === "relayed") && peer?.unansweredAt !== undefined && now - peer.unansweredAt > UNANSWERED_FOR;
}

/** What was proven and carries the packets. */
export function provenOf({ state }: PeerPath): Path | undefined {
  return state.name === "direct" || state.name === "relayed" ? state.path : undefined;
}

/** What carries the packets now, or will carry the next ones. */
export function pathOf({ state }: PeerPath): Path | undefined {
  switch (state.name) {
    case "direct":
    case "relayed":
    case "suspect":
      return state.path;
    case "dormant":
      return state.last;
    case "probing":
    case "failed":
    case "stopped":
      return undefined;
  }
}

/** How texts call members. */
export interface Names {
  nameOf(node: NodeId): string;
  /** Is this relay reached by TCP alone? */
  isByTcp?(relay: NodeId): boolean;
}

interface PathTextView extends Names {
  readonly now: Millis;
}

/** How packets to the peer travel, or why they do not. */
export function pathText({ state, endpoints, relays }: PeerPath, view: PathTextView): string {
  const { now } = view;
  const isFindable = endpoints.length > 0 || relays.length > 0;
  switch (state.name) {
    case "direct":
      return by(state.path.candidate);
    case "relayed":
      return `${by(state.path.candidate)}, ${searchText(state.search, now)}`;
    case "suspect":
      return `no answer for ${age(now - state.sinceAt)}, last ${by(state.path.candidate)}`;
    case "failed":
      return noAnswer(state.failedAt);
    case "probing":
      if (state.failedAt !== undefined) return noAnswer(state.failedAt);
      if (!isFindable) return "no address known yet";
      return `trying ${counted(endpoints.length, "address", "addresses")}${relays.length === 0 ? "" : ` and ${counted(relays.length, "relay", "relays")}`}`;
    case "dormant":
      if (state.last !== undefined)
        return state.isLapsed
          ? `idle, last ${by(state.last.candidate)} ${age(now - state.heardAt)} ago`
          : `${by(state.last.candidate)}, idle`;
      return isFindable ? "not tried yet" : "no address known yet";
    case "stopped":
      return "stopped";
  }

  function by(candidate: Candidate): string {
    return candidateText(candidate, view);
  }

  function noAnswer(sinceAt: Millis): string {
    return isFindable ? `no answer for ${age(now - sinceAt)}` : "no address known";
  }
}

/** `direct 198.51.100.2:51820`, `tcp`, `relayed by office`, `relayed via office by tcp`. */
export function candidateText(candidate: Candidate, names: Names): string {
  if (candidate.type === "direct") return isTcpEndpoint(candidate.endpoint) ? "tcp" : `direct ${formatEndpoint(candidate.endpoint)}`;
  const relay = names.nameOf(candidate.relay);
  return names.isByTcp?.(candidate.relay) === true ? `relayed via ${relay} by tcp` : `relayed by ${relay}`;
}

function searchText(search: Search | undefined, now: Millis): string {
  if (search?.name !== "waiting") return "looking for a direct path";
  return `no direct path found, next try in ${age(search.retryAt - now)}`;
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A duration as people say it, in its largest unit. */
export function age(span: Millis): string {
  const units = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1_000],
  ] as const;
  const unit = units.find(([, length]) => span >= length);
  return unit === undefined ? "1 s" : `${Math.floor(span / unit[1])} ${unit[0]}`;
}
