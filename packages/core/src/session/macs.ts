import { concatBytes } from "../bytes/bytes.ts";
import { utf8 } from "../bytes/text.ts";
import { blake2s } from "../crypto/blake2s.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { MAC_BYTES, mac1Input, mac1Of, mac2Input, mac2Of } from "../wire/handshake-message.ts";

// The two authenticators at the end of an initiation and of a response (whitepaper section 5.4.4).
//
//   mac1   BLAKE2s-128 keyed with H("mac1----" || receiver's public key), over all before it: its maker knows whom it talks
//          to. Who scans without our public key gets no answer.
//   mac2   BLAKE2s-128 keyed with a cookie of the receiver, over all before it: its maker receives at the address it sends
//          from. Zeros when it has no cookie.

/** What mac1 of messages to the owner of `receiverKey` is keyed with: 32 B. */
export function mac1Key(receiverKey: Uint8Array): Uint8Array {
  return blake2s(concatBytes(MAC1_LABEL, receiverKey));
}

/** 16 B over an encoded initiation or response. */
export function computeMac1(bytes: Uint8Array, key: Uint8Array): Uint8Array {
  return blake2s(mac1Input(bytes), { key, digestLength: MAC_BYTES });
}

/** Whether the message was made by someone who knows our public key. */
export function hasMac1(crypto: Crypto, bytes: Uint8Array, key: Uint8Array): boolean {
  return crypto.equalSecret(computeMac1(bytes, key), mac1Of(bytes));
}

/** 16 B over an encoded initiation or response that has its mac1. */
export function computeMac2(bytes: Uint8Array, cookie: Uint8Array): Uint8Array {
  return blake2s(mac2Input(bytes), { key: cookie, digestLength: MAC_BYTES });
}

export function hasMac2(crypto: Crypto, bytes: Uint8Array, cookie: Uint8Array): boolean {
  return crypto.equalSecret(computeMac2(bytes, cookie), mac2Of(bytes));
}

/** Whitepaper section 5.4: LABEL-MAC1. */
const MAC1_LABEL = utf8("mac1----");
