import type { Endpoint } from "../address/endpoint.ts";
import { ipBytes16 } from "../address/ip.ts";
import { concatBytes } from "../bytes/bytes.ts";
import { utf8 } from "../bytes/text.ts";
import { blake2s } from "../crypto/blake2s.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { openXChaCha, sealXChaCha } from "../crypto/xchacha20-poly1305.ts";
import { type CookieReply, encodeHandshakeMessage, MAC_BYTES } from "../wire/handshake-message.ts";

/** A cookie is a mac: 16 bytes. */
export const COOKIE_BYTES: number = MAC_BYTES;

/** What cookies of the owner of `publicKey` are sealed with: 32 B, known to everybody who knows that key. */
export function cookieKey(publicKey: Uint8Array): Uint8Array {
  return blake2s(concatBytes(COOKIE_LABEL, publicKey));
}

/**
 * The cookie of a source, from a secret of 32 bytes that only we know: nothing is stored for anybody. It is of the address
 * and the port, or everybody behind one NAT could use one's cookie (gotatun 0.6 had forgotten the port).
 */
export function makeCookie(secret: Uint8Array, { ip, port }: Endpoint): Uint8Array {
  const source = concatBytes(ipBytes16(ip), Uint8Array.of(port >>> 8, port));
  return blake2s(source, { key: secret, digestLength: COOKIE_BYTES });
}

export interface CookieReplyOptions {
  readonly crypto: Crypto;
  /** cookieKey of whose cookie it is. */
  readonly key: Uint8Array;
  /** mac1 of the message that is answered: nobody else can make sense of the reply, or forge one without having seen it. */
  readonly mac1: Uint8Array;
}

/** An encoded cookie reply (whitepaper section 5.4.7): 64 B, less than what it answers. */
export function createCookieReply(
  options: CookieReplyOptions,
  fields: { readonly receiverIndex: number; readonly nonce: Uint8Array; readonly cookie: Uint8Array },
): Uint8Array {
  const { crypto, key, mac1 } = options;
  const sealedCookie = sealXChaCha({ crypto, key, nonce: fields.nonce, associated: mac1 }, fields.cookie);
  return encodeHandshakeMessage({ type: "cookie-reply", receiverIndex: fields.receiverIndex, nonce: fields.nonce, sealedCookie });
}

/** The cookie, 16 B; undefined when the reply does not answer the message with that mac1. */
export function openCookieReply(options: CookieReplyOptions, reply: CookieReply): Uint8Array | undefined {
  const { crypto, key, mac1 } = options;
  return openXChaCha({ crypto, key, nonce: reply.nonce, associated: mac1 }, reply.sealedCookie);
}

/** Whitepaper section 5.4: LABEL-COOKIE. */
const COOKIE_LABEL = utf8("cookie--");
