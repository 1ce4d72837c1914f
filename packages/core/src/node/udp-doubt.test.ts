import assert from "node:assert/strict";
import { test } from "node:test";
import { at, FarPeer, formatSent, PeersWorld } from "./peers-fixture.ts";

const [x, y] = [new FarPeer(2), new FarPeer(3)];

/** y is a home and x reached straight; `takesTcp`: y does. */
function worldOf({ takesTcp }: { takesTcp: boolean }): PeersWorld {
  const world = new PeersWorld([x, y]);
  world.find(y, { isRelay: true, ...(takesTcp && { tcpRelays: [at(y.endpoint.ip, 443)] }) });
  world.find(x);
  assert.deepEqual([world.stateOf(x), world.stateOf(y)], ["direct", "direct"]);
  world.until(world.now + 2_000, [x, y]);
  return world;
}

/** Packets leave for x and none comes back; probes that left in that time, sorted. */
function sendOneWay(world: PeersWorld, millis: number, answering: readonly FarPeer[]): readonly string[] {
  const end = world.now + millis;
  const sent: string[] = [];
  const stamps = { dataReceivedAt: 0, authenticatedReceivedAt: 0, sendCounter: 0 };
  while (world.now < end) {
    world.peers.traffic(
      [{ slot: world.slotOf(x), stamps: { ...stamps, dataSentAt: world.now, authenticatedSentAt: world.now } }],
      world.now,
    );
    sent.push(...formatSent(world.until(world.now + 50, answering)));
  }
  return sent.sort();
}

test("traffic that is not answered asks the peer and, where TCP is on offer, a home beside it", () => {
  const asked = (takesTcp: boolean): readonly string[] => [...new Set(sendOneWay(worldOf({ takesTcp }), 700, []))];
  assert.deepEqual(asked(true), ["probe 198.51.100.2", "probe 198.51.100.3"]);
  assert.deepEqual(asked(false), ["probe 198.51.100.2"]);
});

test("traffic that goes one way only asks the home seldom", () => {
  const sent = sendOneWay(worldOf({ takesTcp: true }), 20_000, [x, y]);
  const pingsTo = (peer: FarPeer): number => sent.filter((text) => text === `probe ${peer.endpoint.ip}`).length;
  assert.ok(pingsTo(x) > 20, `${pingsTo(x)} to the peer`);
  assert.ok(pingsTo(y) >= 4 && pingsTo(y) <= 7, `${pingsTo(y)} to the home`);
});

test("that silence leads to TCP sooner than the peer's path is given up", () => {
  const world = worldOf({ takesTcp: true });
  const startedAt = world.now;
  sendOneWay(world, 1_150, []);
  assert.equal(world.peers.isUdpBlocked, true, `after ${world.now - startedAt} ms`);
});
