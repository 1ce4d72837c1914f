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
/** What comes sooner than it was asked for tells nothing; a PING that leaves later than it was due left after a sleep. */
const [TOO_SOON, TOO_LATE]: readonly [Millis, Millis] = [seconds(1), seconds(3)];
/** Calls in a row that did not come, and that came: one may be lost, and traffic may have kept the NAT open for one. */
const ENOUGH = 2;
/** Loss on the way must not pass for a NAT that forgot: what the next call decides is asked for twice, and called back twice. */
const COPIES_TO_DECIDE = 2;
/** A lifetime that was found long enough is tested again; one that is too short for the interval before it, seldom, and ever more so. */
const TEST_AGAIN_AFTER: Millis = minutes(15);
const LENGTHEN_AFTER: Millis = minutes(60);
const LENGTHEN_AFTER_MOST: Millis = minutes(24 * 60);
/** Networks whose lifetimes are remembered: home, office, and what is on the way. */
const MAX_NETWORKS = 8;

/** The other end is asked, so many times over, to send `token` back after so long: does the NAT still let it in? */
export interface Recall {
  readonly token: Uint8Array; // 8 B
  readonly after: Millis;
  readonly copies: number;
}

/** A call came at this level, so that it is short enough; a longer one is tried again after so long, at that time. */
interface Learned {
  readonly level: number;
  readonly lengthenAfter: Millis;
  readonly lengthenAt: Millis;
}

const UNKNOWN: Learned = { level: 0, lengthenAfter: LENGTHEN_AFTER, lengthenAt: Number.POSITIVE_INFINITY };

// Driven by the keepalives of the home in use: each may carry a recall, which comes back shortly before the next one.
//
//              came in time                              did not, and the home is there
//  testing     again; twice: in 15 min                   again at once; twice: sinking to the next shorter level
//  sinking     this level it is: testing                 twice: the next shorter level; at the shortest: mute
//  trying      again; twice: this level it is: testing   back to the shorter level; tried again after twice as long
//  mute        another home, another network: testing    no recalls: the level that was learned
//
// `trying`: a level that was too short is left for the one before for a keepalive or two, after an hour, two, … 24.
// `mute`: the home calls back at no level. It may not know how, or not want to: nothing is learned by it.

/** How long the NAT before this node remembers a flow, as far as keepalives must know. One for each network that the host is in. */
export class NatLifetime {
  readonly #random: Random;
  readonly #networks = new BoundedMap<string, Learned>(MAX_NETWORKS);
  #network = "";
  #learned = UNKNOWN;
  /** In use; below the learned one while sinking. */
  #level = 0;
  #isTrying = false;
  #isMute = false;
  #hits = 0;
  #misses = 0;
  #testAt: Millis = 0;
  #pending: { readonly token: string; readonly dueAt: Millis } | undefined;
  #recalledAt: Millis = Number.NEGATIVE_INFINITY;
  /** The last call did not come; whether that is the home's fault, its next answer tells. */
  #isMissing = false;

  constructor(random: Random) {
    this.#random = random;
  }

  get keepalive(): Range {
    return KEEPALIVES[this.#level - (this.#isTrying ? 1 : 0)] ?? KEEPALIVES[0];
  }

  /** Certainly shorter than anybody hears from this node who is not the home in use. */
  get isShort(): boolean {
    return this.#learned.level > 0;
  }

  /** The host's addresses and what else tells its network from others. What was learned of this one before is good again. True when it is another one. */
  enter(network: string): boolean {
    if (network === this.#network) return false;
    this.#networks.set(this.#network, this.#learned);
    this.#network = network;
    this.#learned = this.#networks.get(network) ?? UNKNOWN;
    this.#begin(this.#learned.level, 0);
    this.#isMute = false;
    return true;
  }

  /** Another home: what the last one was asked, or did not answer, tells nothing. */
  homeReplaced(): void {
    this.#begin(this.#learned.level, 0);
    this.#isMute = false;
  }

  /** A keepalive is about to leave: {@link keepalive} may be another one from now on. */
  beginKeepalive(now: Millis): void {
    // A PING before its time kept the NAT open, one long after it found it shut by a sleep: then nothing is told.
    const { dueAt } = this.#pending ?? { dueAt: Number.POSITIVE_INFINITY };
    this.#isMissing ||= now >= dueAt && now < dueAt + BEFORE_NEXT + TOO_LATE;
    this.#pending = undefined;
    const isSettled = this.#level === this.#learned.level && !this.#isTrying && !this.#isMute && !this.#isMissing;
    if (!isSettled || now < this.#learned.lengthenAt) return;
    this.#begin(this.#level, now);
    this.#isTrying = true;
  }

  /** The next keepalive follows after `every`: what goes out with this one. */
  recall(every: Millis, now: Millis): Recall | undefined {
    // PINGs that follow each other quickly are no keepalives.
    if (this.#isMute || now < this.#testAt || now < this.#recalledAt + every / 2) return undefined;
    this.#recalledAt = now;
    const token = this.#random.bytes(8);
    this.#pending = { token: formatHex(token), dueAt: now + every - BEFORE_NEXT };
    const isDeciding = this.#isTrying || this.#isMissing || this.#misses > 0;
    return { token, after: every - BEFORE_NEXT, copies: isDeciding ? COPIES_TO_DECIDE : 1 };
  }

  /** The home answers: it is there. */
  answered(now: Millis): void {
    if (this.#isMissing) this.#miss(now, "recall");
  }

  /** The home called back. */
  recalled(token: Uint8Array, now: Millis): void {
    if (this.#pending?.token !== formatHex(token) || now < this.#pending.dueAt - TOO_SOON) return;
    this.#pending = undefined;
    this.#misses = 0;
    this.#hits++;
    if (this.#level !== this.#learned.level) this.#learn(this.#level, this.#learned.lengthenAfter, now);
    if (this.#hits < ENOUGH) return;
    if (this.#isTrying) {
      this.#learn(this.#level - 1, LENGTHEN_AFTER, now);
      this.#begin(this.#learned.level, now);
    } else {
      this.#hits = 0;
      this.#testAt = now + TEST_AGAIN_AFTER;
    }
  }

  /** The home sees another port than before: the mapping was forgotten between two keepalives. */
  remapped(now: Millis): void {
    this.#miss(now, "port");
  }

  #miss(now: Millis, sign: "recall" | "port"): void {
    this.#isMissing = false;
    const { level, lengthenAfter } = this.#learned;
    if (this.#isTrying) {
      this.#learn(level, Math.min(2 * lengthenAfter, LENGTHEN_AFTER_MOST), now);
      this.#begin(level, now);
      return;
    }
    this.#hits = 0;
    this.#misses++;
    if (this.#misses < ENOUGH) this.#testAt = now;
    else if (this.#level < KEEPALIVES.length - 1) this.#begin(this.#level + 1, now);
    else if (sign === "recall") {
      this.#isMute = true;
      this.#begin(level, now);
    }
  }

  #learn(level: number, lengthenAfter: Millis, now: Millis): void {
    this.#learned = { level, lengthenAfter, lengthenAt: level > 0 ? now + lengthenAfter : Number.POSITIVE_INFINITY };
  }

  /** Nothing was heard at this level yet. */
  #begin(level: number, testAt: Millis): void {
    this.#level = level;
    this.#isTrying = false;
    this.#pending = undefined;
    this.#isMissing = false;
    this.#hits = 0;
    this.#misses = 0;
    this.#testAt = testAt;
  }
}
