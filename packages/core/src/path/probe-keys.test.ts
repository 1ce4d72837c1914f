import assert from "node:assert/strict";
import { test } from "node:test";
import { crypto, keyOf } from "../membership/sample-network-fixture.ts";
import { ProbeKeys } from "./probe-keys.ts";

const [a = assert.fail(), b = assert.fail(), c = assert.fail()] = ["a", "b", "c"].map((name) => crypto.agreementKeyOf(keyOf(name)));
const ab = ProbeKeys.between(crypto, a, b.publicKey) ?? assert.fail();
const ba = ProbeKeys.between(crypto, b, a.publicKey) ?? assert.fail();
const ac = ProbeKeys.between(crypto, a, c.publicKey) ?? assert.fail();
const boot = new Uint8Array(8).fill(1);

test("what one sends by, the other receives by", () => {
  assert.deepEqual(ab.sendId, ba.receiveId);
  assert.deepEqual(ab.receiveId, ba.sendId);
  assert.deepEqual(ab.sendKey(boot), ba.receiveKey(boot));
  assert.deepEqual(ab.receiveKey(boot), ba.sendKey(boot));
});

test("every direction, pair and boot has its own key, every direction and pair its own id", () => {
  const keys = [ab.sendKey(boot), ab.receiveKey(boot), ac.sendKey(boot), ac.receiveKey(boot), ab.sendKey(new Uint8Array(8).fill(2))];
  assert.equal(new Set(keys.map((key) => key.join())).size, 5);
  assert.ok(keys.every(({ length }) => length === 32));
  const ids = [ab.sendId, ab.receiveId, ac.sendId, ac.receiveId];
  assert.equal(new Set(ids.map((id) => id.join())).size, 4);
  assert.ok(ids.every(({ length }) => length === 8));
});

test("passes: both ends agree, each direction and pair has its own, and they are numbers of 32 bits", () => {
  assert.deepEqual([ab.sendPass, ab.receivePass], [ba.receivePass, ba.sendPass]);
  const passes = [ab.sendPass, ab.receivePass, ac.sendPass, ac.receivePass];
  assert.equal(new Set(passes).size, 4);
  for (const pass of passes) assert.ok(Number.isInteger(pass) && pass >= 0 && pass <= 0xffff_ffff, `${pass}`);
  // BLAKE2s-32(key pair, "relay" and the sender's key), made with another implementation of BLAKE2s: a change parts nodes of two versions.
  assert.equal(ab.sendPass, 0xdde0_9ff2);
});

test("a key of low order agrees with nobody", () => {
  for (const low of [new Uint8Array(32), new Uint8Array(32).fill(1, 0, 1)]) assert.equal(ProbeKeys.between(crypto, a, low), undefined);
});
