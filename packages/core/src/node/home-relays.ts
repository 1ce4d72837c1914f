import type { NodeId } from "../ids/node-id.ts";
import { MAX_HOMES } from "../records/endpoint-record.ts";
import { type Millis, seconds } from "../time/millis.ts";
import type { Range } from "./nat-lifetime.ts";

/** A member that offers to relay, as this node sees it. */
export interface RelayOffer {
  readonly node: NodeId;
  /** Round trip of a straight path that is up; undefined: none is. */
  readonly rtt: Millis | undefined;
}

/**
 * How often the standby hears from this node, at least and at most: within the lifetime of two-way flows (RFC 4787 asks for 2 min).
 * With those to the home in use (nat-lifetime.ts) 3.2 PINGs a minute.
 */
export const STANDBY_KEEPALIVE: Range = { min: seconds(100), max: seconds(110) };
/** A standby that the NAT has shut out by then: it is only known to be there. */
export const DEAF_STANDBY_KEEPALIVE: Range = { min: seconds(200), max: seconds(210) };

/** A home is left for another one that is nearer by both. */
const NEARER_BY: Millis = 20;
const NEARER_RATIO = 0.8;

/**
 * The home relays from now on, the one in use first: those there are while they are up, then the nearest. A much nearer one takes
 * the place of the farthest.
 */
export function chooseHomes(current: readonly NodeId[], offers: readonly RelayOffer[]): readonly NodeId[] {
  const up = offers.flatMap(({ node, rtt }) => (rtt === undefined ? [] : [{ node, rtt }])).sort((a, b) => a.rtt - b.rtt);
  const kept = current.flatMap((home) => up.filter(({ node }) => node === home));
  const others = up.filter(({ node }) => !current.includes(node));
  const homes = [...kept, ...others].slice(0, MAX_HOMES);
  const nearest = others.find(({ node }) => !homes.some((home) => home.node === node));
  const farthest = homes.reduce((far, home) => (home.rtt > far.rtt ? home : far), homes[0] ?? { node: undefined, rtt: 0 });
  const isMuchNearer = nearest !== undefined && nearest.rtt <= farthest.rtt - NEARER_BY && nearest.rtt <= farthest.rtt * NEARER_RATIO;
  if (isMuchNearer)
    homes.splice(
      homes.findIndex(({ node }) => node === farthest.node),
      1,
      nearest,
    );
  return homes.map(({ node }) => node);
}
