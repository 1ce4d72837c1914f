import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Blake2s, blake2s } from "./blake2s.ts";

// Published vectors run in test/vectors.

function bytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 167) ^ (i >> 8));
}

test("every length around the block boundaries agrees with OpenSSL", () => {
  for (const length of [0, 1, 63, 64, 65, 127, 128, 129, 1_000, 65_536]) {
    const wanted = new Uint8Array(createHash("blake2s256").update(bytes(length)).digest());
    assert.deepEqual(blake2s(bytes(length)), wanted, `length ${length}`);
  }
});

test("parts of any size give the hash of the whole, keyed and not", () => {
  const message = bytes(300);
  for (const options of [{}, { key: bytes(32), digestLength: 16 }]) {
    for (let size = 1; size <= 130; size++) {
      const state = new Blake2s(options);
      for (let at = 0; at < message.length; at += size) state.update(message.subarray(at, at + size));
      assert.deepEqual(state.digest(), blake2s(message, options), `parts of ${size}`);
    }
  }
});

test("digest and key lengths are part of the hash", () => {
  const message = bytes(100);
  const digests = [16, 31, 32].flatMap((digestLength) =>
    [0, 1, 31, 32].map((length) => blake2s(message, { digestLength, key: new Uint8Array(length) })),
  );
  assert.equal(new Set(digests.map((digest) => Buffer.from(digest.subarray(0, 16)).toString("hex"))).size, digests.length);
});

test("lengths that BLAKE2s has not are refused", () => {
  for (const digestLength of [0, 33, 1.5]) assert.throws(() => blake2s(bytes(1), { digestLength }), RangeError);
  assert.throws(() => blake2s(bytes(1), { key: bytes(33) }), RangeError);
});
