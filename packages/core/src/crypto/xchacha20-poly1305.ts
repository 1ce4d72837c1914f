import type { Crypto } from "./crypto.ts";

/** Bytes of an XChaCha20-Poly1305 nonce: long enough to be drawn at random under one key for ever. */
export const XCHACHA_NONCE_BYTES = 24;

/** What seals and opens one message. */
export interface XChaChaBox {
  readonly crypto: Crypto;
  readonly key: Uint8Array; // 32 B
  readonly nonce: Uint8Array; // 24 B
  readonly associated: Uint8Array;
}

/**
 * XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, section 2): ciphertext and 16-byte tag. node:crypto has ChaCha20-Poly1305
 * only; the longer nonce becomes a key of its own by HChaCha20. Wrong lengths are programmer errors and throw.
 */
export function sealXChaCha(box: XChaChaBox, plaintext: Uint8Array): Uint8Array {
  return withSubkey(box, (key, nonce) => box.crypto.seal(key, nonce, box.associated, plaintext));
}

/** undefined when the tag does not fit. */
export function openXChaCha(box: XChaChaBox, sealed: Uint8Array): Uint8Array | undefined {
  return withSubkey(box, (key, nonce) => box.crypto.open(key, nonce, box.associated, sealed));
}

/**
 * HChaCha20 (draft-irtf-cfrg-xchacha-03, section 2.2): 32 bytes from a key of 32 and a nonce of 16. Adds, xors and
 * rotations only: its time depends on nothing secret.
 */
export function hchacha20(key: Uint8Array, nonce: Uint8Array): Uint8Array {
  if (key.length !== KEY_BYTES || nonce.length !== HNONCE_BYTES) {
    throw new RangeError(`HChaCha20 of a key of ${key.length} bytes and a nonce of ${nonce.length}`);
  }
  const x = new Int32Array(16);
  x.set(CONSTANTS);
  for (let i = 0; i < 8; i++) x[4 + i] = littleEndian(key, 4 * i);
  for (let i = 0; i < 4; i++) x[12 + i] = littleEndian(nonce, 4 * i);
  for (let round = 0; round < DOUBLE_ROUNDS; round++) {
    quarterRound(x, 0, 4, 8, 12);
    quarterRound(x, 1, 5, 9, 13);
    quarterRound(x, 2, 6, 10, 14);
    quarterRound(x, 3, 7, 11, 15);
    quarterRound(x, 0, 5, 10, 15);
    quarterRound(x, 1, 6, 11, 12);
    quarterRound(x, 2, 7, 8, 13);
    quarterRound(x, 3, 4, 9, 14);
  }
  const subkey = new Uint8Array(KEY_BYTES);
  for (let i = 0; i < KEY_BYTES; i++) subkey[i] = word(x, (i < 16 ? 0 : 8) + (i >>> 2)) >>> ((i & 3) * 8);
  x.fill(0);
  return subkey;
}

const KEY_BYTES = 32;
const HNONCE_BYTES = 16;
const DOUBLE_ROUNDS = 10;

/** "expand 32-byte k" (RFC 8439 section 2.3). */
const CONSTANTS = Int32Array.of(0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574);

/** The nonce's first 16 bytes go into the key, the other eight after four zeros into the nonce of RFC 8439. */
function withSubkey<T>({ key, nonce }: XChaChaBox, use: (subkey: Uint8Array, shortNonce: Uint8Array) => T): T {
  if (nonce.length !== XCHACHA_NONCE_BYTES) throw new RangeError(`an XChaCha20 nonce is 24 bytes, not ${nonce.length}`);
  const shortNonce = new Uint8Array(12);
  shortNonce.set(nonce.subarray(HNONCE_BYTES), 4);
  const subkey = hchacha20(key, nonce.subarray(0, HNONCE_BYTES));
  try {
    return use(subkey, shortNonce);
  } finally {
    subkey.fill(0);
  }
}

/** RFC 8439 section 2.1. */
function quarterRound(x: Int32Array, a: number, b: number, c: number, d: number): void {
  x[a] = word(x, a) + word(x, b);
  x[d] = rotateLeft(word(x, d) ^ word(x, a), 16);
  x[c] = word(x, c) + word(x, d);
  x[b] = rotateLeft(word(x, b) ^ word(x, c), 12);
  x[a] = word(x, a) + word(x, b);
  x[d] = rotateLeft(word(x, d) ^ word(x, a), 8);
  x[c] = word(x, c) + word(x, d);
  x[b] = rotateLeft(word(x, b) ^ word(x, c), 7);
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

// Every index is in range.

function word(words: Int32Array, i: number): number {
  return words[i] as number;
}

function littleEndian(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
}
