import assert from "node:assert/strict";
import { test } from "node:test";
import { FurtherSockets, LINGER } from "./further-sockets.ts";

const options = { now: 1_000, linger: LINGER };

test("a held socket stays open; what is not needed closes after its time, once", () => {
  const sockets = new FurtherSockets();
  sockets.add(5, [1, 2, 3]);
  assert.equal(sockets.wakeAt(), undefined);
  sockets.hold(5, new Set([2]), options);
  assert.equal(sockets.wakeAt(), 1_000 + LINGER);
  assert.deepEqual(sockets.takeClosed(1_000 + LINGER - 1), []);
  assert.deepEqual(sockets.takeClosed(1_000 + LINGER), [1, 3]);
  assert.deepEqual(sockets.takeClosed(1_000_000), []);
  assert.deepEqual([sockets.slotOf(1), sockets.slotOf(2)], [undefined, 5]);
});

test("asked again, what is closing closes no later; needed again, it stays", () => {
  const sockets = new FurtherSockets();
  sockets.add(5, [1, 2]);
  sockets.hold(5, new Set(), options);
  sockets.hold(5, new Set(), { now: 2_000, linger: LINGER });
  assert.equal(sockets.wakeAt(), 1_000 + LINGER);
  sockets.hold(5, new Set([1, 2]), { now: 3_000, linger: LINGER });
  assert.equal(sockets.wakeAt(), undefined);
});

test("a socket that the peer uses stays a minute longer; another peer's sockets are not touched", () => {
  const sockets = new FurtherSockets();
  sockets.add(5, [1]);
  sockets.add(6, [2]);
  sockets.hold(5, new Set(), options);
  sockets.lend(1, 2_000);
  assert.deepEqual([sockets.wakeAt(), sockets.has(6), sockets.has(7)], [62_000, true, false]);
  assert.deepEqual(sockets.takeClosed(1_000_000), [1], "what is held closes never");
});

test("of one peer's sockets its PINGs keep one open, however many they come to", () => {
  const sockets = new FurtherSockets();
  sockets.add(5, [1, 2, 3]);
  sockets.hold(5, new Set(), options);
  for (const socket of [1, 2, 3]) sockets.lend(socket, 2_000);
  assert.deepEqual(sockets.takeClosed(1_000 + LINGER), [2, 3]);
  assert.equal(sockets.wakeAt(), 62_000);
});
