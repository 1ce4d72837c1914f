import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type NodeId, nodeId } from "@mesh/core/ports";
import { GossipKeeper, READY_TIMEOUT, ROUTINE_LOOK } from "./gossip-keeper.ts";
import { SettlingClock } from "./settling-clock-fixture.ts";

const SMALL: NodeId = nodeId(new Uint8Array(32));
const LARGE: NodeId = nodeId(new Uint8Array(32).fill(255));

interface Scene {
  readonly keeper: GossipKeeper;
  readonly clock: SettlingClock;
  readonly peer: NodeId;
  readonly done: string[];
  isHealthy: boolean;
}

/** A keeper of one node; healing works when `healWorks`. */
function scene(self: NodeId, healWorks = true): Scene {
  const clock = new SettlingClock();
  const done: string[] = [];
  const peer = self === SMALL ? LARGE : SMALL;
  const keeper = new GossipKeeper({
    self,
    clock,
    isHealthy: () => made.isHealthy,
    heal: () => {
      done.push(`heal ${clock.now()}`);
      made.isHealthy = healWorks;
    },
    onReady: () => done.push(`ready ${clock.now()}`),
    onHealed: () => done.push(`healed ${clock.now()}`),
  });
  const made: Scene = { keeper, clock, peer, done, isHealthy: true };
  return made;
}

describe("gossip keeper", () => {
  it("is ready as soon as gossip flows", async () => {
    const { keeper, clock, peer, done } = scene(SMALL);
    keeper.opened(peer);
    keeper.opened(peer);
    await clock.advance(60_000);
    assert.deepEqual(done, ["ready 0"]);
  });

  it("is ready after a second without gossip too, and heals it then", async () => {
    const made = scene(SMALL);
    made.isHealthy = false;
    made.keeper.opened(made.peer);
    await made.clock.advance(READY_TIMEOUT - 1);
    assert.deepEqual(made.done, []);
    await made.clock.advance(5_000);
    assert.deepEqual(made.done, ["ready 1000", "heal 2000", "healed 3000"]);
  });

  it("looks 50 ms after one of several connections closed", async () => {
    const made = scene(SMALL);
    made.keeper.opened(made.peer);
    await made.clock.advance(100);
    made.isHealthy = false;
    made.keeper.reduced(made.peer);
    await made.clock.advance(2_000);
    assert.deepEqual(made.done, ["ready 0", "heal 150", "healed 1150"]);
  });

  it("leaves the first attempt to the smaller node", async () => {
    const made = scene(LARGE);
    made.keeper.opened(made.peer);
    made.isHealthy = false;
    made.keeper.reduced(made.peer);
    await made.clock.advance(3_000);
    assert.deepEqual(made.done, ["ready 0", "heal 1050", "healed 2050"]);
  });

  it("notices within the routine look what no event told, and goes on until it flows", async () => {
    const made = scene(SMALL, false);
    made.keeper.opened(made.peer);
    await made.clock.advance(1);
    made.isHealthy = false;
    await made.clock.advance(ROUTINE_LOOK + 2_000);
    assert.deepEqual(made.done, ["ready 0", "heal 5000", "heal 6000", "heal 7000"]);
  });

  it("leaves no timer behind", async () => {
    const { keeper, clock, peer } = scene(SMALL);
    keeper.opened(peer);
    keeper.closed(peer);
    keeper.opened(peer);
    keeper.close();
    keeper.reduced(peer);
    assert.equal(clock.pending, 0);
  });
});
