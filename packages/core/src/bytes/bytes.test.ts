import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { compareBytes, concatBytes, equalBytes, isZero } from "./bytes.ts";

test("parts are joined into new memory", () => {
  const part = Uint8Array.of(1, 2);
  const joined = concatBytes(part, new Uint8Array(), Uint8Array.of(3));
  part[0] = 9;
  assert.deepEqual(joined, Uint8Array.of(1, 2, 3));
  assert.deepEqual(concatBytes(), new Uint8Array());
});

test("seed 1: comparing is comparing as Buffer does, and equal is no difference", () => {
  const random = new SeededRandom(1);
  for (let run = 0; run < 2_000; run++) {
    const [a, b] = [random.bytes(random.below(4)), random.bytes(random.below(4))].map((bytes) => bytes.map((byte) => byte & 3));
    assert.ok(a !== undefined && b !== undefined);
    assert.equal(Math.sign(compareBytes(a, b)), Buffer.compare(a, b));
    assert.equal(equalBytes(a, b), compareBytes(a, b) === 0);
  }
});

test("a byte above 127 is greater, not negative", () => {
  assert.ok(compareBytes(Uint8Array.of(200), Uint8Array.of(100)) > 0);
});

test("zero is zero in every byte", () => {
  assert.ok(isZero(new Uint8Array(32)));
  for (let i = 0; i < 32; i++) assert.equal(isZero(new Uint8Array(32).fill(1, i, i + 1)), false);
});
