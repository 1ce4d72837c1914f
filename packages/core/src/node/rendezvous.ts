import type { Random } from "../crypto/crypto.ts";
import { randomBelow } from "../crypto/random.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { PeerSlot } from "../ports/datapath.ts";
import { MAX_HOMES } from "../records/endpoint-record.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { chooseHomes, type RelayOffer, STANDBY_KEEPALIVE } from "./home-relays.ts";
import { KEEPALIVES, type Range } from "./nat-lifetime.ts";

/** A relay that packets go by hears from us this often: it must know where we are, and we whether it is there. */
const IN_USE_KEEPALIVE: Millis = seconds(10);

/** Which members this node keeps a way open to: its home relays, and those that relay for it now. */
export class Rendezvous {
  readonly #random: Random;
  #homes: readonly NodeId[] = [];
  /** Drawn anew whenever a home is chosen, so that a relay's clients do not all speak at once. */
  readonly #intervals = new Map<NodeId, Millis>();
  /** Of the home in use, and of the standby. */
  #ranges: readonly Range[] = [KEEPALIVES[0], STANDBY_KEEPALIVE];
  readonly #usedBy = new Map<PeerSlot, readonly NodeId[]>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** The one in use first. */
  get homes(): readonly NodeId[] {
    return this.#homes;
  }

  /** Homes before all others. */
  rank(node: NodeId): number {
    const at = this.#homes.indexOf(node);
    return at === -1 ? MAX_HOMES : at;
  }

  /** Chooses homes anew. `changed`: whose keepalive is another one now; `wanted`: who should be found, because homes are missing. */
  choose(offers: readonly RelayOffer[]): { readonly changed: readonly NodeId[]; readonly wanted: readonly NodeId[] } {
    const before = this.#homes;
    const homes = chooseHomes(before, offers);
    const missing = MAX_HOMES - homes.length;
    const wanted = offers
      .filter(({ rtt }) => rtt === undefined)
      .slice(0, missing)
      .map(({ node }) => node);
    const changed = [...new Set([...before, ...homes])].filter((node) => before.indexOf(node) !== homes.indexOf(node));
    this.#homes = homes;
    for (const node of changed) this.#intervals.delete(node);
    for (const [rank, node] of homes.entries()) {
      if (!this.#intervals.has(node)) this.#draw(node, rank);
    }
    return { changed, wanted };
  }

  /** The home in use and the standby shall hear from us so often from now on. Returns those whose keepalive is another one now. */
  keep(ranges: readonly Range[]): readonly NodeId[] {
    const before = this.#ranges;
    this.#ranges = ranges;
    const changed = this.#homes.filter((_, rank) => ranges[rank] !== before[rank]);
    for (const node of changed) this.#draw(node, this.rank(node));
    return changed;
  }

  /** The peer's packets go by these relays. Returns those whose keepalive is another one now. */
  used(slot: PeerSlot, relays: readonly NodeId[]): readonly NodeId[] {
    const before = this.#usedBy.get(slot) ?? [];
    const touched = [...new Set([...before, ...relays])];
    const was = touched.map((relay) => this.keepaliveOf(relay));
    if (relays.length === 0) this.#usedBy.delete(slot);
    else this.#usedBy.set(slot, relays);
    return touched.filter((relay, i) => this.keepaliveOf(relay) !== was[i]);
  }

  /** How often this member should hear from us; undefined: it need not. */
  keepaliveOf(relay: NodeId): Millis | undefined {
    const interval = this.#intervals.get(relay);
    for (const relays of this.#usedBy.values()) if (relays.includes(relay)) return Math.min(IN_USE_KEEPALIVE, interval ?? IN_USE_KEEPALIVE);
    return interval;
  }

  /** The home in use hears from us this often, and by nothing else; undefined: there is none, or packets go by it. */
  get quietKeepalive(): Millis | undefined {
    const home = this.#homes[0];
    const isUsed = [...this.#usedBy.values()].some((relays) => home !== undefined && relays.includes(home));
    return home === undefined || isUsed ? undefined : this.#intervals.get(home);
  }

  #draw(node: NodeId, rank: number): void {
    const { min, max } = this.#ranges[rank] ?? STANDBY_KEEPALIVE;
    this.#intervals.set(node, min + randomBelow(this.#random, max - min));
  }
}
