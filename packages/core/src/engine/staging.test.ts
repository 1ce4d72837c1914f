import assert from "node:assert/strict";
import { test } from "node:test";
import { STAGED_PACKETS } from "../ports/datapath.ts";
import { STAGED_IN_ALL, Staging } from "./staging.ts";

test("first in, first out, per peer; a copy is kept", () => {
  const staging = new Staging(1420);
  const packet = Uint8Array.of(1);
  staging.stage(0, packet, 0);
  packet[0] = 9;
  staging.stage(1, Uint8Array.of(2), 0);
  staging.stage(0, Uint8Array.of(3), 0);
  assert.deepEqual([staging.take(0), staging.take(0), staging.take(0)], [Uint8Array.of(1), Uint8Array.of(3), undefined]);
  assert.equal(staging.waiting(1), 1);
});

test("a full peer loses its oldest, nobody else's", () => {
  const staging = new Staging(1420);
  staging.stage(7, Uint8Array.of(7), 0);
  for (let i = 0; i < STAGED_PACKETS; i++) assert.equal(staging.stage(0, Uint8Array.of(i), i), 0);
  assert.equal(staging.stage(0, Uint8Array.of(200), 999), 1);
  assert.equal(staging.waiting(0), STAGED_PACKETS);
  assert.deepEqual(staging.take(0), Uint8Array.of(1));
  assert.equal(staging.waiting(7), 1);
});

test("when all places are taken, the oldest of any peer goes", () => {
  const staging = new Staging(1420);
  for (let i = 0; i < STAGED_IN_ALL; i++) assert.equal(staging.stage(i % 32, Uint8Array.of(i & 255, i >> 8), i), 0);
  assert.equal(staging.stage(40, Uint8Array.of(1), STAGED_IN_ALL), 1);
  assert.deepEqual(staging.take(0), Uint8Array.of(32, 0));
  assert.equal(staging.stage(40, Uint8Array.of(1), STAGED_IN_ALL), 0);
  for (let i = 0; i < 100; i++) assert.equal(staging.stage(41, Uint8Array.of(1), STAGED_IN_ALL), 1);
  const all = Array.from({ length: 42 }, (_, slot) => staging.waiting(slot)).reduce((sum, count) => sum + count, 0);
  assert.equal(all, STAGED_IN_ALL);
});

test("what was staged before an instant is dropped, what was staged at it stays", () => {
  const staging = new Staging(1420);
  for (const at of [10, 20, 30]) staging.stage(0, Uint8Array.of(at), at);
  assert.equal(staging.dropOlder(0, 20), 1);
  assert.deepEqual(staging.take(0), Uint8Array.of(20));
  assert.equal(staging.dropOlder(0, Number.POSITIVE_INFINITY), 1);
  assert.equal(staging.dropOlder(0, Number.POSITIVE_INFINITY), 0);
});

test("a packet longer than the MTU, rounded up to 64, does not wait", () => {
  const staging = new Staging(1420);
  assert.equal(staging.stage(0, new Uint8Array(1472), 0), 0);
  assert.equal(staging.stage(0, new Uint8Array(1473), 0), 1);
  assert.equal(staging.waiting(0), 1);
});
