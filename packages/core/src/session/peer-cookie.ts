import type { Crypto } from "../crypto/crypto.ts";
import type { Millis } from "../time/millis.ts";
import { type CookieReply, mac2Of } from "../wire/handshake-message.ts";
import { COOKIE_LIFETIME } from "./constants.ts";
import { cookieKey, openCookieReply } from "./cookie.ts";
import { computeMac2 } from "./macs.ts";

/** The cookie that one peer gave us when it was under load, and mac2 of what we send it while the cookie is good. */
export class PeerCookie {
  readonly #crypto: Crypto;
  readonly #key: Uint8Array;
  #cookie: { readonly bytes: Uint8Array; readonly receivedAt: Millis } | undefined;

  constructor(crypto: Crypto, tunnelKey: Uint8Array) {
    this.#crypto = crypto;
    this.#key = cookieKey(tunnelKey);
  }

  /** False when the reply does not answer the message with that mac1. */
  take(reply: CookieReply, mac1: Uint8Array, now: Millis): boolean {
    const bytes = openCookieReply({ crypto: this.#crypto, key: this.#key, mac1 }, reply);
    if (bytes === undefined) return false;
    this.wipe();
    this.#cookie = { bytes, receivedAt: now };
    return true;
  }

  /** Writes mac2 into an encoded initiation or response that has its mac1. Without a cookie it stays as it is: zeros. */
  addMac2(bytes: Uint8Array, now: Millis): void {
    if (this.#cookie !== undefined && now - this.#cookie.receivedAt >= COOKIE_LIFETIME) this.wipe();
    if (this.#cookie !== undefined) mac2Of(bytes).set(computeMac2(bytes, this.#cookie.bytes));
  }

  wipe(): void {
    this.#cookie?.bytes.fill(0);
    this.#cookie = undefined;
  }
}
