import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "../../node-crypto.ts";
import { memoCrypto } from "./memo-crypto.ts";
import { SeededRandom } from "./seeded-random.ts";

test("gives the results of the Crypto under it, also for altered input and the second time, seed 1", () => {
  const random = new SeededRandom(1);
  const plain = nodeCrypto();
  const memo = memoCrypto(plain);
  const [seed, other, message] = [random.bytes(32), random.bytes(32), random.bytes(100)];
  const [key, plainKey] = [memo.signingKey(seed), plain.signingKey(seed)];
  const signature = memo.sign(key, message);
  assert.deepEqual(signature, plain.sign(plainKey, message));
  const [ours, theirs] = [memo.agreementKeyOf(key), memo.agreementKeyOf(memo.signingKey(other))];
  const [sealKey, nonce, associated] = [random.bytes(32), random.bytes(12), random.bytes(20)];
  const sealed = memo.seal(sealKey, nonce, associated, message);
  assert.deepEqual(sealed, plain.seal(sealKey, nonce, associated, message));
  for (let round = 0; round < 2; round++) {
    assert.ok(memo.verify(key.publicKey, message, signature));
    assert.ok(!memo.verify(key.publicKey, altered(message, 99), signature));
    assert.ok(!memo.verify(key.publicKey, message, altered(signature, 3)));
    const secret = memo.agree(ours, theirs.publicKey);
    assert.deepEqual(secret, plain.agree(plain.agreementKeyOf(plainKey), theirs.publicKey));
    secret?.fill(0); // as callers do: what is remembered must not suffer
    assert.deepEqual(memo.agree(theirs, ours.publicKey), memo.agree(ours, theirs.publicKey));
    assert.equal(memo.agree(ours, new Uint8Array(32)), undefined);
    assert.deepEqual(memo.agreementPublicKeyOf(key.publicKey), ours.publicKey);
    memo.open(sealKey, nonce, associated, sealed)?.fill(0);
    assert.deepEqual(memo.open(sealKey, nonce, associated, sealed), message);
    // The tag, by which packets are looked up, stays the same in all of these.
    assert.equal(memo.open(sealKey, nonce, associated, altered(sealed, 0)), undefined);
    assert.equal(memo.open(altered(sealKey, 0), nonce, associated, sealed), undefined);
    assert.equal(memo.open(sealKey, altered(nonce, 11), associated, sealed), undefined);
    assert.equal(memo.open(sealKey, nonce, altered(associated, 19), sealed), undefined);
  }
});

function altered(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
