import { BLAKE2S_BLOCK_BYTES, Blake2s, blake2s } from "./blake2s.ts";

/** HMAC (RFC 2104) with BLAKE2s-256: 32 bytes. This is what Noise calls HMAC-HASH; keyed BLAKE2s is something else. */
export function hmacBlake2s(key: Uint8Array, ...message: readonly Uint8Array[]): Uint8Array {
  const pad = new Uint8Array(BLAKE2S_BLOCK_BYTES);
  pad.set(key.length > BLAKE2S_BLOCK_BYTES ? blake2s(key) : key);
  flip(pad, INNER_PAD);
  const inner = new Blake2s().update(pad);
  for (const part of message) inner.update(part);
  const innerDigest = inner.digest();
  flip(pad, INNER_PAD ^ OUTER_PAD);
  const digest = new Blake2s().update(pad).update(innerDigest).digest();
  pad.fill(0);
  innerDigest.fill(0);
  return digest;
}

/**
 * WireGuard's KDF1 to KDF3, which are HKDF (RFC 5869) over HMAC-BLAKE2s with empty info: one to three keys of 32 bytes.
 * What is not handed out is wiped; the inputs are the caller's to wipe.
 */
export function kdf1(chainingKey: Uint8Array, input: Uint8Array): Uint8Array {
  const secret = hmacBlake2s(chainingKey, input);
  const first = hmacBlake2s(secret, FIRST);
  secret.fill(0);
  return first;
}

export function kdf2(chainingKey: Uint8Array, input: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const secret = hmacBlake2s(chainingKey, input);
  const first = hmacBlake2s(secret, FIRST);
  const second = hmacBlake2s(secret, first, SECOND);
  secret.fill(0);
  return [first, second];
}

export function kdf3(chainingKey: Uint8Array, input: Uint8Array): readonly [Uint8Array, Uint8Array, Uint8Array] {
  const secret = hmacBlake2s(chainingKey, input);
  const first = hmacBlake2s(secret, FIRST);
  const second = hmacBlake2s(secret, first, SECOND);
  const third = hmacBlake2s(secret, second, THIRD);
  secret.fill(0);
  return [first, second, third];
}

const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;
const FIRST = Uint8Array.of(1);
const SECOND = Uint8Array.of(2);
const THIRD = Uint8Array.of(3);

function flip(bytes: Uint8Array, mask: number): void {
  for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] ?? 0) ^ mask;
}
