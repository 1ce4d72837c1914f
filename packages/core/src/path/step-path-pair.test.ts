import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { pathWakeAt } from "./path-state.ts";
import { type Filtering, TwoPaths, type TwoPathsOptions } from "./two-paths-fixture.ts";

/** Measured: half of them within 0.3 s, all within 0.8; with one round trip more where the first offer is lost. */
const DIRECT_WITHIN = 2_500;
/** Packets of one search, by one machine. */
const MOST = { few: 100, many: 250 };

function optionsOf(seed: number, endpoints: number): TwoPathsOptions {
  const random = new SeededRandom(seed);
  const filtering = (): Filtering => (random.below(4) === 0 ? "open" : "dependent");
  const least = 1 + random.below(80);
  const count = (): number => (endpoints > 4 ? endpoints : 1 + random.below(endpoints));
  return {
    random,
    delay: [least, least + random.below(60)],
    loss: random.below(3) === 0 ? 0 : random.next() * 0.2,
    endpoints: [count(), count()],
    filtering: [filtering(), filtering()],
  };
}

for (const [what, endpoints, most] of [
  ["up to 4 endpoints", 4, MOST.few],
  ["16 endpoints", 16, MOST.many],
] as const) {
  test(`200 seeds: two machines with ${what} each get direct, by ${most} packets of a search at most, and then fall silent`, () => {
    for (let seed = 1; seed <= 200; seed++) {
      const pair = new TwoPaths(optionsOf(seed, endpoints));
      const [a, b] = pair.machines;
      // One speaks first, or both at nearly the same time.
      pair.talk(a);
      let talksAt = pair.now + new SeededRandom(seed).below(500);
      while (!pair.isDirect && pair.now < DIRECT_WITHIN) {
        pair.until(talksAt, () => pair.isDirect);
        for (const machine of pair.machines) pair.talk(machine);
        talksAt += 500;
      }
      assert.ok(pair.isDirect, `seed ${seed}: ${a.peer.state.name}, ${b.peer.state.name} after ${pair.now} ms`);
      for (const { mostInRound } of pair.machines) assert.ok(mostInRound <= most, `seed ${seed}: ${mostInRound} packets of one search`);

      // Heartbeats for 45 s, and 12 s more until the last proof is old.
      pair.until(pair.now + 70_000);
      const sent = [a.sent, b.sent];
      pair.until(pair.now + 3_600_000);
      assert.deepEqual([a.sent, b.sent], sent, `seed ${seed}: they go on`);
      for (const { peer } of pair.machines) assert.equal(pathWakeAt(peer), undefined, `seed ${seed}: ${peer.state.name}`);
    }
  });
}

test("50 seeds: offers that cross are answered once each, not in a loop", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const pair = new TwoPaths({ ...optionsOf(seed, 4), loss: 0 });
    // What is said straight never arrives, so that the search runs its course.
    for (const machine of pair.machines) machine.opened.add = () => machine.opened;
    for (const machine of pair.machines) pair.step(machine, { type: "wanted" });
    pair.until(60_000);
    for (const { mostInRound } of pair.machines) assert.ok(mostInRound <= MOST.few, `seed ${seed}: ${mostInRound} packets`);
  }
});

test("50 seeds: a pair that no packet gets through straight stays relayed while it talks, and its searches keep their pace", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const options = optionsOf(seed, 4);
    const pair = new TwoPaths({ ...options, loss: Math.min(options.loss, 0.02), filtering: ["dependent", "dependent"] });
    for (const machine of pair.machines) machine.opened.add = () => machine.opened;
    for (let now = 0; now < 120_000; now += 500) {
      pair.until(now);
      for (const machine of pair.machines) pair.talk(machine);
    }
    for (const { peer, sent } of pair.machines) {
      assert.equal(peer.state.name, "relayed", `seed ${seed}`);
      // Five rounds by its own clock, five by the other's; heartbeats are none while data flows.
      assert.ok(sent <= 10 * MOST.few, `seed ${seed}: ${sent} packets in two minutes`);
    }
  }
});
