import assert from "node:assert/strict";
import { test } from "node:test";
import { datagramsOf, FarPeer, PeersWorld } from "./peers-fixture.ts";

const [x, y] = [new FarPeer(2), new FarPeer(3)];

test("who asks to be called back is called once, where it asked from, when its time is come; of several the last counts", () => {
  const world = new PeersWorld([x, y]);
  const from = { endpoint: x.endpoint, socket: 0 };
  assert.deepEqual(world.receive(from, x.recall(5_000)), []);
  world.now += 1_000;
  assert.deepEqual(world.receive(from, x.recall(9_500, 77)), []);
  assert.deepEqual(datagramsOf(world.until(world.now + 9_499)), []);
  const [called, ...others] = datagramsOf(world.until(world.now + 1));
  assert.ok(called !== undefined && others.length === 0);
  assert.deepEqual(called.way, from);
  const outcome = x.receive(called.bytes);
  assert.ok(outcome.type === "recalled");
  assert.deepEqual(outcome.token, new Uint8Array(8).fill(77));
  assert.deepEqual(datagramsOf(world.until(world.now + 60_000)), []);
});

test("nobody is called back by a relay, or once it is no member any more", () => {
  const world = new PeersWorld([x, y]);
  world.find(y);
  world.receive({ endpoint: y.endpoint, relay: { from: x.number, to: 1, pass: 0 } }, x.recall(1_000));
  world.receive({ endpoint: x.endpoint }, x.recall(20_000));
  world.set([y]);
  const toX = datagramsOf(world.until(world.now + 60_000, [y])).filter(
    ({ way }) => way.endpoint.ip === x.endpoint.ip || way.relay !== undefined,
  );
  assert.deepEqual(toX, []);
});

test("who said goodbye is not called back, whether it asked before or its question was on the way", () => {
  const world = new PeersWorld([x, y]);
  world.receive({ endpoint: x.endpoint }, x.recall(20_000));
  world.peers.stopped(x.node, world.now);
  assert.deepEqual(world.receive({ endpoint: x.endpoint }, x.recall(20_000)), []);
  assert.deepEqual(datagramsOf(world.until(world.now + 60_000)), []);
});

test("who asks twice with one token is called twice, and not a third time", () => {
  const world = new PeersWorld([x, y]);
  for (let n = 0; n < 5; n++) world.receive({ endpoint: x.endpoint }, x.recall(5_000));
  assert.equal(datagramsOf(world.until(world.now + 60_000)).length, 2);
});

test("a call within a second is not made, nor more than a few are remembered for who asks all the time", () => {
  const world = new PeersWorld([x, y]);
  world.receive({ endpoint: x.endpoint }, x.recall(999));
  assert.equal(datagramsOf(world.until(world.now + 60_000)).length, 0);
  for (let n = 0; n < 1_000; n++) world.receive({ endpoint: x.endpoint }, x.recall(1_000));
  assert.ok(world.count("probe.overBudget") > 900);
});
