import type { Millis } from "@mesh/core/ports";

/** What the choice between connections to one peer depends on. */
export interface ConnectionAge {
  /** This node dialled it. */
  readonly dialled: boolean;
  readonly openedAt: Millis;
}

/** Two connections opened within this time of each other are one coincidence (a race of endpoints, dials that crossed), not a peer that moved. */
export const SIMULTANEOUS: Millis = 1_000;
/** Of connections further apart both ends keep the newest, and close the others at once: gossip waits for it. */
export const MOVED_GRACE: Millis = 0;
/** The smaller node decides at once when both dialled each other … */
export const CROSSED_DIAL_GRACE: Millis = 0;
/** … and otherwise leaves the dialling side this time to close the losers of its race itself. */
export const SAME_SIDE_GRACE: Millis = 300;
/** The larger node decides only when the smaller one has not: it may have restarted and know of one connection alone. */
export const FALLBACK_GRACE: Millis = 3_000;

/**
 * The one to keep of several open connections to a peer. The newest wins: it is the one that works after a peer moved.
 * Of those opened together with it, one that the smaller node dialled goes first, so both ends make the same choice.
 */
export function chooseConnection<C extends ConnectionAge>(connections: readonly C[], isSelfSmaller: boolean): C | undefined {
  const newest = connections.reduce<Millis>((latest, { openedAt }) => Math.max(latest, openedAt), Number.NEGATIVE_INFINITY);
  const rank = ({ dialled, openedAt }: C): number => {
    if (newest - openedAt >= SIMULTANEOUS) return Number.NEGATIVE_INFINITY;
    return openedAt + (dialled === isSelfSmaller ? SIMULTANEOUS : 0);
  };
  return connections.reduce<C | undefined>((best, one) => (best === undefined || rank(one) > rank(best) ? one : best), undefined);
}

/** How long this side waits, after the newest of several connections opened, before it closes the others. */
export function choiceGrace(connections: readonly ConnectionAge[], isSelfSmaller: boolean): Millis {
  const newest = Math.max(...connections.map(({ openedAt }) => openedAt));
  const together = connections.filter(({ openedAt }) => newest - openedAt < SIMULTANEOUS);
  if (together.length < 2) return MOVED_GRACE;
  if (!isSelfSmaller) return FALLBACK_GRACE;
  return new Set(together.map(({ dialled }) => dialled)).size > 1 ? CROSSED_DIAL_GRACE : SAME_SIDE_GRACE;
}
