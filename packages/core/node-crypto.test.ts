import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto, nodeRandom } from "./node-crypto.ts";

// Published vectors run in test/vectors.

const crypto = nodeCrypto();
const seed = new Uint8Array(32).fill(5);
const message = new Uint8Array(100).fill(6);

test("everything handed out is a plain Uint8Array", () => {
  const key = crypto.signingKey(seed);
  const agreement = crypto.agreementKeyOf(key);
  const nonce = new Uint8Array(12);
  const sealed = crypto.seal(seed, nonce, message, message);
  for (const bytes of [
    crypto.sha256(message),
    key.publicKey,
    crypto.sign(key, message),
    agreement.publicKey,
    crypto.agreementPublicKeyOf(key.publicKey),
    crypto.agree(agreement, agreement.publicKey),
    sealed,
    crypto.open(seed, nonce, message, sealed),
    nodeRandom().bytes(7),
  ]) {
    assert.equal(Object.getPrototypeOf(bytes), Uint8Array.prototype);
  }
});

test("verify answers false for whatever is no signature, and never throws", () => {
  const key = crypto.signingKey(seed);
  const signature = crypto.sign(key, message);
  assert.ok(crypto.verify(key.publicKey, message, signature));
  for (const length of [0, 31, 33, 64]) assert.ok(!crypto.verify(new Uint8Array(length), message, signature), `key of ${length}`);
  for (const length of [0, 63, 65]) assert.ok(!crypto.verify(key.publicKey, message, new Uint8Array(length)), `signature of ${length}`);
  for (const value of [0, 1, 0x7f, 0xff]) assert.ok(!crypto.verify(new Uint8Array(32).fill(value), message, signature), `key of ${value}`);
});

test("an Ed25519 key's two X25519 halves fit together", () => {
  for (let i = 0; i < 20; i++) {
    const key = crypto.signingKey(crypto.sha256(Uint8Array.of(i)));
    assert.deepEqual(crypto.agreementPublicKeyOf(key.publicKey), crypto.agreementKeyOf(key).publicKey);
  }
});

test("no X25519 form: not on the curve, of small order, not canonical, of another length", () => {
  const identity = Uint8Array.of(1, ...new Uint8Array(31));
  const notOnCurve = Uint8Array.of(2, ...new Uint8Array(31));
  const orderFour = new Uint8Array(32);
  const notCanonical = new Uint8Array(32).fill(0xff);
  for (const key of [identity, notOnCurve, orderFour, notCanonical, new Uint8Array(31), new Uint8Array(0)]) {
    assert.equal(crypto.agreementPublicKeyOf(key), undefined);
  }
});

test("agree: undefined for a public key of low order or another length", () => {
  const key = crypto.agreementKey(seed);
  for (const publicKey of [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31)), new Uint8Array(31), new Uint8Array(33)]) {
    assert.equal(crypto.agree(key, publicKey), undefined);
  }
});

test("open refuses every truncation, every flipped bit, another nonce, key and associated data", () => {
  const nonce = new Uint8Array(12);
  const sealed = crypto.seal(seed, nonce, message, message.subarray(0, 20));
  assert.deepEqual(crypto.open(seed, nonce, message, sealed), message.slice(0, 20));
  for (let length = 0; length < sealed.length; length++)
    assert.equal(crypto.open(seed, nonce, message, sealed.subarray(0, length)), undefined);
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const flipped = sealed.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(crypto.open(seed, nonce, message, flipped), undefined, `bit ${bit}`);
  }
  assert.equal(crypto.open(seed, new Uint8Array(12).fill(1), message, sealed), undefined);
  assert.equal(crypto.open(message.subarray(0, 32), nonce, message, sealed), undefined);
  assert.equal(crypto.open(seed, nonce, message.subarray(1), sealed), undefined);
  const empty = crypto.seal(seed, nonce, message, new Uint8Array(0));
  assert.deepEqual([empty.length, crypto.open(seed, nonce, message, empty)], [16, new Uint8Array(0)]);
});

test("wrong lengths and keys of another Crypto are programmer errors", () => {
  const foreign = nodeCrypto();
  assert.throws(() => crypto.signingKey(new Uint8Array(31)), RangeError);
  assert.throws(() => crypto.agreementKey(new Uint8Array(33)), RangeError);
  assert.throws(() => crypto.seal(seed, new Uint8Array(8), message, message), RangeError);
  assert.throws(() => crypto.sign(foreign.signingKey(seed), message), TypeError);
  assert.throws(() => crypto.agree(foreign.agreementKey(seed), seed), TypeError);
});

test("seeds and private keys handed in are not changed", () => {
  const given = seed.slice();
  crypto.agreementKeyOf(crypto.signingKey(given));
  crypto.agreementKey(given);
  assert.deepEqual(given, seed);
});

test("equalSecret", () => {
  assert.ok(crypto.equalSecret(Uint8Array.of(1, 2), Uint8Array.of(1, 2)));
  assert.ok(!crypto.equalSecret(Uint8Array.of(1, 2), Uint8Array.of(1, 3)));
  assert.ok(!crypto.equalSecret(Uint8Array.of(1, 2), Uint8Array.of(1)));
});

test("thousands of public keys in turn, more than are kept, all agree as before", () => {
  const key = crypto.agreementKey(seed);
  const other = crypto.agreementKey(message.subarray(0, 32));
  const before = crypto.agree(key, other.publicKey);
  for (let i = 0; i < 2_100; i++) crypto.agree(key, crypto.sha256(Uint8Array.of(i, i >> 8)));
  assert.deepEqual(crypto.agree(key, other.publicKey), before);
});
