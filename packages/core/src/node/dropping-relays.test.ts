import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId } from "../ids/node-id.ts";
import { DroppingRelays } from "./dropping-relays.ts";

const T = 100_000;
const [R, S, Q] = ["r", "s", "q"].map((letter) => letter.repeat(64) as NodeId) as [NodeId, NodeId, NodeId];

test("a relay that was blamed is left out for ten minutes, the others keep their order", () => {
  const dropping = new DroppingRelays();
  assert.equal(dropping.blame(R, T), true);
  assert.deepEqual(dropping.without([R, S, Q], T), [S, Q]);
  assert.deepEqual(dropping.without([R, S, Q], T + 599_999), [S, Q]);
  assert.deepEqual(dropping.without([R, S, Q], T + 600_000), [R, S, Q]);
});

test("where all were blamed, the one that was longest ago", () => {
  const dropping = new DroppingRelays();
  for (const [i, relay] of [S, R, Q].entries()) dropping.blame(relay, T + 20_000 * i);
  assert.deepEqual(dropping.without([R, S, Q], T + 60_000), [S]);
  assert.deepEqual(dropping.without([], T), []);
});

test("one blame in 11 s: the next relay has its chance", () => {
  const dropping = new DroppingRelays();
  assert.deepEqual([dropping.blame(R, T), dropping.blame(S, T + 10_999), dropping.blame(S, T + 11_000)], [true, false, true]);
});

test("the peer is told every 11 s at most; for 5 s after that, what it says is an answer", () => {
  const dropping = new DroppingRelays();
  assert.equal(dropping.isTelling(T), false);
  assert.deepEqual([dropping.mayTell(T), dropping.mayTell(T + 10_999), dropping.mayTell(T + 11_000)], [true, false, true]);
  assert.deepEqual([dropping.isTelling(T + 15_999), dropping.isTelling(T + 16_000)], [true, false]);
});

test("the fourth handshake by one relay blames it, unless there was a session or another relay between", () => {
  const dropping = new DroppingRelays();
  const sent = (...relays: readonly NodeId[]): readonly boolean[] => relays.map((relay) => dropping.handshakeSent(relay));
  assert.deepEqual(sent(R, R, R, R), [false, false, false, true]);
  dropping.blame(R, T);
  assert.deepEqual(sent(R, R, R), [false, false, false]);
  dropping.handshakeDone();
  assert.deepEqual(sent(R, R, R, S, R, R, R), [false, false, false, false, false, false, false]);
});

test("it remembers a bounded number of relays, the latest", () => {
  const dropping = new DroppingRelays();
  const relays = Array.from({ length: 100 }, (_, i) => String(i).padStart(64, "0") as NodeId);
  for (const [i, relay] of relays.entries()) dropping.blame(relay, T + 11_000 * i);
  assert.equal(dropping.without([...relays, R], T + 1_100_000).length, 95);
});
