import assert from "node:assert/strict";
import { test } from "node:test";
import { Blake2s, blake2s } from "../../packages/core/src/crypto/blake2s.ts";
import { counting, hex, readVectors } from "./read-vectors.ts";

interface Blake2sVectors {
  readonly key: string;
  /** Of the bytes 0, 1, 2 … of length 0, 1, 2 …, under the key. */
  readonly keyed32: readonly string[];
  readonly keyed16: readonly string[];
  readonly unkeyed: readonly { readonly message: string; readonly digest: string }[];
}

const vectors = readVectors<Blake2sVectors>("blake2s.json");

test("BLAKE2s keyed, 32 bytes, every length from 0 to 255", () => {
  assert.equal(vectors.keyed32.length, 256);
  const key = hex(vectors.key);
  for (const [length, digest] of vectors.keyed32.entries()) {
    assert.deepEqual(blake2s(counting(length), { key }), hex(digest), `length ${length}`);
  }
});

test("BLAKE2s keyed, 16 bytes, every length from 0 to 255", () => {
  assert.equal(vectors.keyed16.length, 256);
  const key = hex(vectors.key);
  for (const [length, digest] of vectors.keyed16.entries()) {
    assert.deepEqual(blake2s(counting(length), { key, digestLength: 16 }), hex(digest), `length ${length}`);
  }
});

test("BLAKE2s unkeyed", () => {
  for (const { message, digest } of vectors.unkeyed) assert.deepEqual(blake2s(hex(message)), hex(digest), message);
});

test("BLAKE2s: the self-test of RFC 7693, appendix E", () => {
  const sequence = (length: number, seed: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    let a = Math.imul(0xdead_4bad, seed);
    let b = 1;
    for (let i = 0; i < length; i++) {
      const sum = (a + b) | 0;
      a = b;
      b = sum;
      bytes[i] = sum >>> 24;
    }
    return bytes;
  };
  const all = new Blake2s();
  for (const digestLength of [16, 20, 28, 32]) {
    for (const length of [0, 3, 64, 65, 255, 1_024]) {
      const message = sequence(length, length);
      all.update(blake2s(message, { digestLength }));
      all.update(blake2s(message, { digestLength, key: sequence(digestLength, digestLength) }));
    }
  }
  assert.deepEqual(all.digest(), hex("6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe"));
});
