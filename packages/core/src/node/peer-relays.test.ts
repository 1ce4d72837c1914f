import assert from "node:assert/strict";
import { test } from "node:test";
import { FarPeer, formatSent, PeersWorld } from "./peers-fixture.ts";

const [home, open, hidden] = [new FarPeer(2), new FarPeer(3), new FarPeer(4)];

test("where homes are missing, members with a public address are knocked at once each, so that they learn that they are reachable", () => {
  const world = new PeersWorld([home, open, hidden]);
  world.find(home, { isRelay: true });
  const knocked = formatSent(world.publish(open, { own: [open.endpoint], reflexive: [] }));
  assert.ok(knocked.includes(`probe ${open.endpoint.ip}`), knocked.join());
  assert.deepEqual(formatSent(world.publish(hidden)), [], "behind a NAT");
  world.until(world.now + 10_000, [home]);
  const again = formatSent(world.publish(open, { own: [open.endpoint], reflexive: [] }));
  assert.deepEqual(
    again.filter((sent) => sent === `probe ${open.endpoint.ip}`),
    [],
  );
});

test("who has both homes knocks at nobody", () => {
  const world = new PeersWorld([home, open, hidden]);
  world.find(home, { isRelay: true });
  world.find(hidden, { isRelay: true });
  assert.deepEqual(formatSent(world.publish(open, { own: [open.endpoint], reflexive: [] })), []);
});

test("however long a chain members make of their homes, only the first is wanted for the peer's sake", () => {
  const chain = Array.from({ length: 50 }, (_, i) => new FarPeer(2 + i));
  const world = new PeersWorld(chain);
  for (const [i, peer] of chain.entries()) world.publish(peer, { homes: chain.slice(i + 1, i + 2).map(({ node }) => node) });
  const [first, second, third] = chain;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  world.peers.want(first.node, world.now);
  assert.deepEqual(
    [first, second, third].map((peer) => world.stateOf(peer)),
    ["probing", "probing", "dormant"],
  );
});
