// What becomes of a datagram that is no transport data, in the order of cost. The native engine does the same for every
// datagram; this is the rule, and what its twin and the simulator run.
//
//   1. kind and size        a handshake message of its exact size, or one of our own kinds     else udpMalformed
//   2. types 1 and 2: mac1  made with our public key                                           else handshakeNotForUs
//   3. load                 each such message takes from one bucket; when that was found empty less than
//                           UNDER_LOAD_FOR ago, 4 and 5 follow, otherwise it passes
//   4. mac2                 made with the cookie of its source                                 else handshakeCookieSent,
//                                                                                              with a cookie reply
//                           of a relayed message, for which we know no way back, not asked     else sourceOverBudget
//                           for when the relay is a contact
//   5. handshakes of this source within their budget                                           else sourceOverBudget
//   6. type 3 and our own kinds: datagrams of this source within their budget                  else sourceOverBudget
//
// Contacts and strangers are counted apart from each other, so that no stranger can use up what a peer needs. A contact is an address
// and a port that is or was some peer's endpoint; it has a budget for 4 and 5, and one for 6. A stranger is an IPv4 address or an
// IPv6 /64; strangers besides share budgets in 4, 5 and 6, because sources can be forged. What is beyond counts as sourceOverBudget.
//
// Nothing is remembered of a stranger before it was turned away, and little then; forged sources push only each other out.

import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import { BoundedMap } from "../bytes/bounded-map.ts";
import type { Crypto, Random } from "../crypto/crypto.ts";
import { XCHACHA_NONCE_BYTES } from "../crypto/xchacha20-poly1305.ts";
import {
  CONTACT_FOR,
  COOKIE_SECRET_FOR,
  DATAGRAMS_PER_SOURCE,
  HANDSHAKE_LOAD,
  HANDSHAKES_PER_SOURCE,
  KNOCK_AGAIN_FOR,
  MAX_SOURCES,
  STRANGERS,
  STRANGERS_AGAIN,
  STRANGERS_HANDSHAKES,
  UNDER_LOAD_FOR,
} from "../ports/datapath.ts";
import { cookieKey, createCookieReply, makeCookie } from "../session/cookie.ts";
import { hasMac1, hasMac2, mac1Key } from "../session/macs.ts";
import type { Millis } from "../time/millis.ts";
import { datagramKind, MAX_OWN_DATAGRAM_BYTES } from "../wire/datagram-kind.ts";
import {
  COOKIE_REPLY_BYTES,
  COOKIE_REPLY_TYPE,
  INITIATION_BYTES,
  INITIATION_TYPE,
  mac1Of,
  RESPONSE_BYTES,
  senderIndexOf,
} from "../wire/handshake-message.ts";
import { type Rate, RateBucket, SourceBuckets, sourceKey } from "./source-buckets.ts";
import { type StrangerLimits, StrangersShare } from "./strangers-share.ts";

/** The constants of ports/datapath.ts; smaller in tests. */
export interface GuardLimits {
  readonly handshakeLoad: Rate; // HANDSHAKE_LOAD
  readonly underLoadFor: Millis; // UNDER_LOAD_FOR
  readonly handshakesPerSource: Rate; // HANDSHAKES_PER_SOURCE
  readonly datagramsPerSource: Rate; // DATAGRAMS_PER_SOURCE
  readonly maxSources: number; // MAX_SOURCES
  readonly cookieSecretFor: Millis; // COOKIE_SECRET_FOR
  readonly contactFor: Millis; // CONTACT_FOR
  readonly strangers: StrangerLimits;
}

export const GUARD_LIMITS: GuardLimits = {
  handshakeLoad: HANDSHAKE_LOAD,
  underLoadFor: UNDER_LOAD_FOR,
  handshakesPerSource: HANDSHAKES_PER_SOURCE,
  datagramsPerSource: DATAGRAMS_PER_SOURCE,
  maxSources: MAX_SOURCES,
  cookieSecretFor: COOKIE_SECRET_FOR,
  contactFor: CONTACT_FOR,
  strangers: {
    datagrams: STRANGERS,
    cookies: STRANGERS,
    again: STRANGERS_AGAIN,
    handshakes: STRANGERS_HANDSHAKES,
    knockAgainFor: KNOCK_AGAIN_FOR,
  },
};

export interface HandshakeGuardOptions {
  readonly crypto: Crypto;
  /** Cookie secrets and nonces. */
  readonly random: Random;
  readonly limits: GuardLimits;
}

/** Assignable to DatapathCounter. */
export type GuardCounter = "udpMalformed" | "handshakeNotForUs" | "handshakeCookieSent" | "sourceOverBudget";

export type GuardVerdict =
  | { readonly pass: true }
  /** Counted under that name; `reply` goes to where the datagram came from. */
  | { readonly pass: false; readonly counter: GuardCounter; readonly reply?: Uint8Array };

/** One for each peer that a table can hold. */
const MAX_CONTACTS = 16_384;

/** Lets through to the session table and the probes what they can afford to read. */
export class HandshakeGuard {
  readonly #crypto: Crypto;
  readonly #random: Random;
  readonly #limits: GuardLimits;
  readonly #handshakes: SourceBuckets;
  readonly #datagrams: SourceBuckets;
  readonly #contactHandshakes: SourceBuckets;
  readonly #contactDatagrams: SourceBuckets;
  readonly #strangerDatagrams: StrangersShare;
  readonly #strangerCookies: StrangersShare;
  /** When an endpoint was last known to be a peer's. */
  readonly #contacts: BoundedMap<string, Millis>;
  #strangerHandshakes: RateBucket | undefined;
  #keys: GuardKeys | undefined;
  #load: RateBucket | undefined;
  #underLoadUntil: Millis = 0;
  #secret: { readonly bytes: Uint8Array; readonly until: Millis } | undefined;

  constructor({ crypto, random, limits }: HandshakeGuardOptions) {
    this.#crypto = crypto;
    this.#random = random;
    this.#limits = limits;
    this.#handshakes = new SourceBuckets(limits.handshakesPerSource, limits.maxSources);
    this.#datagrams = new SourceBuckets(limits.datagramsPerSource, limits.maxSources);
    this.#contactHandshakes = new SourceBuckets(limits.handshakesPerSource, limits.maxSources);
    this.#contactDatagrams = new SourceBuckets(limits.datagramsPerSource, limits.maxSources);
    const { datagrams, cookies, again, knockAgainFor } = limits.strangers;
    const options = { knockAgainFor, maxSources: limits.maxSources };
    this.#strangerDatagrams = new StrangersShare({ first: datagrams, again }, options);
    this.#strangerCookies = new StrangersShare({ first: cookies, again }, options);
    this.#contacts = new BoundedMap(MAX_CONTACTS);
  }

  /** Whose handshakes pass: our X25519 public key, 32 B. Until then none do. */
  setKey(publicKey: Uint8Array): void {
    this.#keys = { mac1: mac1Key(publicKey), cookie: cookieKey(publicKey) };
  }

  /** A peer was heard from there: it is no stranger for CONTACT_FOR. */
  noteContact(endpoint: Endpoint, now: Millis): void {
    this.#contacts.set(formatEndpoint(endpoint), now);
  }

  /** Something is sent there: a contact stays one, and nothing else becomes one. */
  keepContact(endpoint: Endpoint, now: Millis): void {
    if (this.#isContact(formatEndpoint(endpoint), now)) this.noteContact(endpoint, now);
  }

  /** `bytes` is not transport data (type 4 counts as malformed here). Relayed: `from` is the relay. Never throws. */
  judge(from: Endpoint, bytes: Uint8Array, now: Millis, { isRelayed = false }: { readonly isRelayed?: boolean } = {}): GuardVerdict {
    switch (guardedKind(bytes)) {
      case "malformed":
        return refused("udpMalformed");
      case "keyed":
        return this.#judgeKeyed({ from, isRelayed }, bytes, now);
      case "plain":
        return this.#mayTell(from, now) ? PASSED : refused("sourceOverBudget");
    }
  }

  /** Wipes the cookie secret. The guard can go on being used. */
  wipe(): void {
    this.#secret?.bytes.fill(0);
    this.#secret = undefined;
  }

  #judgeKeyed({ from, isRelayed }: { readonly from: Endpoint; readonly isRelayed: boolean }, bytes: Uint8Array, now: Millis): GuardVerdict {
    const keys = this.#keys;
    if (keys === undefined || !hasMac1(this.#crypto, bytes, keys.mac1)) return refused("handshakeNotForUs");
    if (!this.#isUnderLoad(now)) return PASSED;
    const contact = formatEndpoint(from);
    const isContact = this.#isContact(contact, now);
    if (isContact ? !this.#contactHandshakes.take(contact, now) : isRelayed) return refused("sourceOverBudget");
    if (isRelayed) return PASSED;
    const cookie = makeCookie(this.#cookieSecret(now), from);
    if (hasMac2(this.#crypto, bytes, cookie)) {
      return isContact || this.#mayShakeHands(from, now) ? PASSED : refused("sourceOverBudget");
    }
    if (!isContact && !this.#strangerCookies.take(sourceKey(from.ip), now)) return refused("sourceOverBudget");
    const options = { crypto: this.#crypto, key: keys.cookie, mac1: mac1Of(bytes) };
    const nonce = this.#random.bytes(XCHACHA_NONCE_BYTES);
    const reply = createCookieReply(options, { receiverIndex: senderIndexOf(bytes), nonce, cookie });
    return { pass: false, counter: "handshakeCookieSent", reply };
  }

  #mayTell(from: Endpoint, now: Millis): boolean {
    const contact = formatEndpoint(from);
    if (this.#isContact(contact, now)) return this.#contactDatagrams.take(contact, now);
    const source = sourceKey(from.ip);
    return this.#datagrams.take(source, now) && this.#strangerDatagrams.take(source, now);
  }

  #mayShakeHands(from: Endpoint, now: Millis): boolean {
    this.#strangerHandshakes ??= new RateBucket(this.#limits.strangers.handshakes, now);
    return this.#handshakes.take(sourceKey(from.ip), now) && this.#strangerHandshakes.take(now);
  }

  #isContact(endpoint: string, now: Millis): boolean {
    const notedAt = this.#contacts.get(endpoint);
    return notedAt !== undefined && now - notedAt < this.#limits.contactFor;
  }

  /** Asked once for each message with a valid mac1: all of them are the load, those too that are then refused. */
  #isUnderLoad(now: Millis): boolean {
    this.#load ??= new RateBucket(this.#limits.handshakeLoad, now);
    if (!this.#load.take(now)) this.#underLoadUntil = now + this.#limits.underLoadFor;
    return now < this.#underLoadUntil;
  }

  #cookieSecret(now: Millis): Uint8Array {
    if (this.#secret === undefined || now >= this.#secret.until) {
      this.wipe();
      this.#secret = { bytes: this.#random.bytes(SECRET_BYTES), until: now + this.#limits.cookieSecretFor };
    }
    return this.#secret.bytes;
  }
}

interface GuardKeys {
  readonly mac1: Uint8Array;
  readonly cookie: Uint8Array;
}

const SECRET_BYTES = 32;
const PASSED: GuardVerdict = { pass: true };

function refused(counter: GuardCounter): GuardVerdict {
  return { pass: false, counter };
}

/** Keyed: it carries a mac1. */
function guardedKind(bytes: Uint8Array): "keyed" | "plain" | "malformed" {
  const { length } = bytes;
  switch (datagramKind(bytes)) {
    case "handshake":
      if (bytes[0] === COOKIE_REPLY_TYPE) return length === COOKIE_REPLY_BYTES ? "plain" : "malformed";
      return length === (bytes[0] === INITIATION_TYPE ? INITIATION_BYTES : RESPONSE_BYTES) ? "keyed" : "malformed";
    case "probe":
      return length <= MAX_OWN_DATAGRAM_BYTES ? "plain" : "malformed";
    case "transport":
    case "to-relay":
    case "from-relay":
    case "unknown":
      return "malformed";
  }
}
