import { BoundedMap } from "../bytes/bounded-map.ts";
import { formatHex } from "../bytes/hex.ts";
import type { Random } from "../crypto/crypto.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";

export interface Range {
  readonly min: Millis;
  readonly max: Millis;
}

/**
 * How often the home in use hears from this node, at least and at most: before the shortest usual lifetime of 30 s; for NATs that
 * forget after 15 s; and for the worst. Never less often than the first: a NAT that has moved is noticed by the next PING.
 */
export const KEEPALIVES: readonly [Range, ...Range[]] = [
  { min: seconds(22), max: seconds(26) },
  { min: seconds(10), max: seconds(12.5) },
  { min: seconds(5), max: seconds(6.25) },
];

/** The home calls back so long before the next PING would open the NAT anyway. */
const BEFORE_NEXT: Millis = 500;
/** Calls in a row that did not come, and that came: one may be lost, and traffic may have kept the NAT open for one. */
const ENOUGH = 2;
/** A lifetime that was found long enough is tested again; one that is too short for the interval before it, seldom, and ever more so. */
const TEST_AGAIN_AFTER: Millis = minutes(15);
const LENGTHEN_AFTER: Millis = minutes(60);
const LENGTHEN_AFTER_MOST: Millis = minutes(24 * 60);
/** Networks whose lifetimes are remembered: home, office, and what is on the way. */
const MAX_NETWORKS = 8;

/** The other end is asked to send `token` back after so long: does the NAT still let it in? */
export interface Recall {
  readonly token: Uint8Array; // 8 B
  readonly after: Millis;
}

interface Learned {
  readonly level: number;
  readonly lengthenAfter: Millis;
}

const UNKNOWN: Learned = { level: 0, lengthenAfter: LENGTHEN_AFTER };

// Driven by the keepalives of the home in use: each may carry a recall, which comes back shortly before the next one.
//
//              came in time                    did not, and the home is there
//  testing     again; twice: in 15 min         again at once; twice: the next shorter level
//  trying      again; twice: this level it is  back to the shorter level; tried again after twice as long
//
// `trying`: a level that was too short is left for the one before for a keepalive or two, after an hour, two, … 24.

/** How long the NAT before this node remembers a flow, as far as keepalives must know. One for each network that the host is in. */
export class NatLifetime {
  readonly #random: Random;
  readonly #networks = new BoundedMap<string, Learned>(MAX_NETWORKS);
  #network = "";
  #learned = UNKNOWN;
  #isTrying = false;
  #hits = 0;
  #misses = 0;
  #testAt: Millis = 0;
  #lengthenAt: Millis = Number.POSITIVE_INFINITY;
  #pending: { readonly token: string; readonly dueAt: Millis } | undefined;
  #recalledAt: Millis = Number.NEGATIVE_INFINITY;
  /** The last call did not come; whether that is the home's fault, its next answer tells. */
  #isMissing = false;

  constructor(random: Random) {
    this.#random = random;
  }

  get keepalive(): Range {
    return KEEPALIVES[this.#learned.level - (this.#isTrying ? 1 : 0)] ?? KEEPALIVES[0];
  }

  /** Shorter than anybody hears from this node who is not the home in use. */
  get isShort(): boolean {
    return this.#learned.level > 0;
  }

  /** The host's addresses and what else tells its network from others. What was learned of this one before is good again. True when it is another one. */
  enter(network: string): boolean {
    if (network === this.#network) return false;
    this.#networks.set(this.#network, this.#learned);
    this.#network = network;
    this.#learned = this.#networks.get(network) ?? UNKNOWN;
    this.#isTrying = false;
    this.#restart(0);
    this.#lengthenAt = this.#learned.level > 0 ? 0 : Number.POSITIVE_INFINITY;
    return true;
  }

  /** Another home: what the last one was asked tells nothing. */
  forgetRecall(): void {
    this.#pending = undefined;
    this.#isMissing = false;
  }

  /** A keepalive is about to leave: {@link keepalive} may be another one from now on. */
  beginKeepalive(now: Millis): void {
    // A PING before its time kept the NAT open: then nothing is told.
    this.#isMissing ||= this.#pending !== undefined && now >= this.#pending.dueAt;
    this.#pending = undefined;
    if (this.#isTrying || this.#learned.level === 0 || now < this.#lengthenAt || this.#isMissing) return;
    this.#isTrying = true;
    this.#restart(now);
  }

  /** The next keepalive follows after `every`: what goes out with this one. */
  recall(every: Millis, now: Millis): Recall | undefined {
    // PINGs that follow each other quickly are no keepalives.
    if (now < this.#testAt || now < this.#recalledAt + every / 2) return undefined;
    this.#recalledAt = now;
    const token = this.#random.bytes(8);
    this.#pending = { token: formatHex(token), dueAt: now + every - BEFORE_NEXT };
    return { token, after: every - BEFORE_NEXT };
  }

  /** The home answers: it is there. */
  answered(now: Millis): void {
    if (this.#isMissing) this.#miss(now);
  }

  /** The home called back. */
  recalled(token: Uint8Array, now: Millis): void {
    if (this.#pending?.token !== formatHex(token)) return;
    this.#pending = undefined;
    this.#misses = 0;
    this.#hits++;
    if (this.#hits < ENOUGH) return;
    if (!this.#isTrying) {
      this.#hits = 0;
      this.#testAt = now + TEST_AGAIN_AFTER;
    } else this.#settle({ level: this.#learned.level - 1, lengthenAfter: LENGTHEN_AFTER }, now);
  }

  /** The home sees another port than before: the mapping was forgotten between two keepalives. */
  remapped(now: Millis): void {
    this.#miss(now);
  }

  #miss(now: Millis): void {
    this.#isMissing = false;
    const { level, lengthenAfter } = this.#learned;
    if (this.#isTrying) return this.#settle({ level, lengthenAfter: Math.min(2 * lengthenAfter, LENGTHEN_AFTER_MOST) }, now);
    this.#hits = 0;
    this.#misses++;
    if (this.#misses >= ENOUGH && level < KEEPALIVES.length - 1) this.#settle({ level: level + 1, lengthenAfter }, now);
    else this.#testAt = now;
  }

  #settle(learned: Learned, now: Millis): void {
    this.#learned = learned;
    this.#isTrying = false;
    this.#restart(now);
    this.#lengthenAt = learned.level > 0 ? now + learned.lengthenAfter : Number.POSITIVE_INFINITY;
  }

  #restart(testAt: Millis): void {
    this.forgetRecall();
    this.#hits = 0;
    this.#misses = 0;
    this.#testAt = testAt;
  }
}
