import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import { type Ip, ipBytes, ipFamily } from "../address/ip.ts";
import { BoundedMap } from "../bytes/bounded-map.ts";
import { formatHex } from "../bytes/hex.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";
import { TokenBucket } from "../time/token-bucket.ts";

// How many PINGs an address gets from this host, whoever names it: any member can name a victim's, and fifty can name the same one.
//
//   answered in the last 10 min   free
//   answered before               12 at once, 2 a second
//   never: three rounds           12 at once, 2 a second
//          seven more             one a round
//          after that             one in 5 min
//
// A round is what falls in 3 s from its first PING. So an address that never answers gets 3 × 18 PINGs, then 7, then one in 5
// minutes: 63 in ten minutes, and 12 in an hour after that. PINGs that die after a few hops are counted apart once they are one a
// round: the one that opens our NAT must not use up the one that is to arrive.

/** A punch sends 3 PINGs to open our NAT and 9 to arrive (path/path-state.ts). */
const BURST = 12;
const PER_SECOND = 2;
/** Longer than an opening and a punch together. */
const ROUND_FOR: Millis = seconds(3);
const FULL_ROUNDS = 3;
const SPARSE_ROUNDS = 10;
const SELDOM: Millis = minutes(5);
const FREE_FOR: Millis = minutes(10);

/**
 * All ports of one IPv4 address or IPv6 /64 together, while none has answered: eight fresh candidates at once, as a site of several
 * nodes has. After 300 PINGs in vain, one in 5 s, so that new ports are no way around the above.
 */
const IP_FRESH: Rate = { burst: 100, perSecond: 5 };
const IP_SILENT: Rate = { burst: BURST, perSecond: 0.2 };
const IP_PATIENCE = 300;
/** Those that answer a datagram from there beside: who sends in the name of another can vary its ports. */
const IP_TRIGGERED: Rate = { burst: 50, perSecond: 1 };

/** Who names others to make us forget one has the whole host's budget of 100 s spent for it, and earns 12 PINGs. 200 bytes each. */
const MAX_ADDRESSES = 8_192;
const MAX_IPS = 4_096;

/** What a home router forwards without noticing, and at most 5,000 a minute: 2,500 at once and 41 a second. */
const HOST_SECOND: Rate = { burst: 600, perSecond: 300 };
const HOST_MINUTE: Rate = { burst: 2_500, perSecond: 41 };

/** Changes of our own network that make us forget who was silent. */
const NEW_STARTS: Rate = { burst: 3, perSecond: 1 / 600 };

interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** `opening`: dies after a few hops. `triggered`: the answer to something authentic from there, one for one. */
export type ProbeReason = "opening" | "searching" | "triggered";

interface Address {
  readonly bucket: TokenBucket;
  /** The round under way, and the same of PINGs that open. */
  roundAt: Millis;
  openingAt: Millis;
  /** Rounds, the one under way included, since the last answer. */
  rounds: number;
  sinceAt: Millis;
  answeredAt: Millis | undefined;
}

interface Place {
  fresh: TokenBucket;
  readonly silent: TokenBucket;
  readonly triggered: TokenBucket;
  unanswered: number;
  answeredAt: Millis;
  /** Addresses there that were silent until then are asked as if they were new. */
  forgivenAt: Millis;
}

/** Nobody can make this host flood an address. PINGs by a path in use are not asked about: it was proven. */
export class ProbeBudget {
  readonly #addresses = new BoundedMap<string, Address>(MAX_ADDRESSES);
  readonly #places = new BoundedMap<string, Place>(MAX_IPS);
  readonly #second = new TokenBucket(HOST_SECOND);
  readonly #minute = new TokenBucket(HOST_MINUTE);
  readonly #newStarts = new TokenBucket(NEW_STARTS);

  /** Of the whole host; spent when true. */
  takeOfHost(now: Millis): boolean {
    return this.#minute.has(now) && this.#second.take(now) && this.#minute.take(now);
  }

  /** May a PING go there now? Changes nothing; {@link sent} does. */
  affords(to: Endpoint, reason: ProbeReason, now: Millis): boolean {
    const address = this.#addresses.get(formatEndpoint(to));
    const place = this.#places.get(placeOf(to.ip));
    if (isFree(address?.answeredAt, now)) return true;
    if (reason === "triggered") return address?.bucket.has(now) !== false && mayAnswer(place, now);
    if (address === undefined) return hasRoom(place, now);
    return address.bucket.has(now) && hasRoom(place, now) && (address.answeredAt !== undefined || isDue(address, { place, reason, now }));
  }

  sent(to: Endpoint, reason: ProbeReason, now: Millis): void {
    const address = this.#addressOf(to, now);
    if (isFree(address.answeredAt, now)) return;
    address.bucket.take(now);
    const place = this.#placeOf(to.ip);
    if (reason === "triggered") {
      place.triggered.take(now);
      return;
    }
    if (!isFree(place.answeredAt, now)) {
      place.unanswered++;
      place.fresh.take(now);
      place.silent.take(now);
    }
    if (place.forgivenAt > address.sinceAt) Object.assign(address, { rounds: 0, sinceAt: now });
    if (reason === "opening") address.openingAt = now;
    else if (now - address.roundAt >= ROUND_FOR) {
      address.roundAt = now;
      address.rounds++;
    }
  }

  /** A PING of ours was answered from there. */
  answered(from: Endpoint, now: Millis): void {
    Object.assign(this.#addressOf(from, now), { answeredAt: now, rounds: 0 });
    const place = this.#placeOf(from.ip);
    Object.assign(place, { answeredAt: now, unanswered: 0, fresh: new TokenBucket(IP_FRESH) });
  }

  /** A member is there by other evidence than PINGs: a control link. Others may have asked in its name, and without an answer. */
  forgive(ip: Ip, now: Millis): void {
    const place = this.#placeOf(ip);
    Object.assign(place, { forgivenAt: now, unanswered: 0 });
  }

  /**
   * Our own addresses changed: what was silent before may have been so because of us. False, and nothing changes, on a host whose addresses
   * come and go: it would flood those that others name.
   */
  beginAnew(now: Millis): boolean {
    if (!this.#newStarts.take(now)) return false;
    this.#addresses.clear();
    this.#places.clear();
    return true;
  }

  #addressOf(to: Endpoint, now: Millis): Address {
    const key = formatEndpoint(to);
    const never = Number.NEGATIVE_INFINITY;
    const bucket = { burst: BURST, perSecond: PER_SECOND };
    const address = this.#addresses.get(key) ?? {
      bucket: new TokenBucket(bucket),
      roundAt: never,
      openingAt: never,
      rounds: 0,
      sinceAt: now,
      answeredAt: undefined,
    };
    this.#addresses.set(key, address);
    return address;
  }

  #placeOf(ip: Ip): Place {
    const key = placeOf(ip);
    const never = Number.NEGATIVE_INFINITY;
    const place = this.#places.get(key) ?? {
      fresh: new TokenBucket(IP_FRESH),
      silent: new TokenBucket(IP_SILENT),
      triggered: new TokenBucket(IP_TRIGGERED),
      unanswered: 0,
      answeredAt: never,
      forgivenAt: never,
    };
    this.#places.set(key, place);
    return place;
  }
}

/** Whether an address that never answered is to be asked again. */
function isDue(
  { rounds, roundAt, openingAt, sinceAt }: Address,
  { place, reason, now }: { readonly place: Place | undefined; readonly reason: ProbeReason; readonly now: Millis },
): boolean {
  if (place !== undefined && place.forgivenAt > sinceAt) return true;
  const isUnderWay = now - roundAt < ROUND_FOR;
  if (rounds < FULL_ROUNDS || (rounds === FULL_ROUNDS && isUnderWay)) return true;
  const lastAt = reason === "opening" ? openingAt : roundAt;
  return now - lastAt >= (rounds < SPARSE_ROUNDS ? ROUND_FOR : SELDOM);
}

function hasRoom(place: Place | undefined, now: Millis): boolean {
  if (place === undefined || isFree(place.answeredAt, now)) return true;
  return place.unanswered < IP_PATIENCE ? place.fresh.has(now) : place.silent.has(now);
}

function mayAnswer(place: Place | undefined, now: Millis): boolean {
  return place === undefined || isFree(place.answeredAt, now) || place.triggered.has(now);
}

function isFree(answeredAt: Millis | undefined, now: Millis): boolean {
  return answeredAt !== undefined && now - answeredAt < FREE_FOR;
}

/** A host has all of an IPv6 /64. */
function placeOf(ip: Ip): string {
  return ipFamily(ip) === 4 ? ip : formatHex(ipBytes(ip).subarray(0, 8));
}
