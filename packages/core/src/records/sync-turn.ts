import type { NodeId } from "../ids/node-id.ts";
import type { Millis } from "../time/millis.ts";

/**
 * Whose turn it is to be compared with: the neighbour with whom it is longest ago; one never compared with before all others, and of
 * several the first. With n neighbours and one turn a minute nobody waits longer than n minutes, which chance does not promise.
 */
export function neighbourLongestAgo<N>(neighbours: Iterable<N>, comparedAt: (neighbour: N) => Millis | undefined): N | undefined {
  let longest: { readonly neighbour: N; readonly at: Millis } | undefined;
  for (const neighbour of neighbours) {
    const at = comparedAt(neighbour) ?? Number.NEGATIVE_INFINITY;
    if (longest === undefined || at < longest.at) longest = { neighbour, at };
  }
  return longest?.neighbour;
}

/** Of two members with a new link the smaller begins to compare: once is enough. */
export function beginsComparing(self: NodeId, peer: NodeId): boolean {
  return self < peer;
}
