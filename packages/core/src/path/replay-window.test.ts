import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { ReplayWindow } from "./replay-window.ts";

test("the first counter is taken, whichever it is, and no counter twice", () => {
  for (const first of [0n, 1n, 63n, 64n, 2n ** 64n - 1n]) {
    const window = new ReplayWindow();
    assert.deepEqual([window.accept(first), window.accept(first)], [true, false]);
  }
});

test("the window is 64 wide", () => {
  const window = new ReplayWindow();
  window.accept(1_000n);
  assert.deepEqual([window.accept(937n), window.accept(937n), window.accept(936n)], [true, false, false]);
});

for (const seed of [1, 2, 3]) {
  test(`seed ${seed}: it takes what a list of all counters would take`, () => {
    const random = new SeededRandom(seed);
    const window = new ReplayWindow();
    const seen = new Set<bigint>();
    let highest = -1n;
    for (let run = 0; run < 20_000; run++) {
      const counter = BigInt(Math.max(0, run + random.below(200) - 120 + (random.below(50) === 0 ? 300 : 0)));
      const wanted = !seen.has(counter) && counter > highest - 64n;
      assert.equal(window.accept(counter), wanted, `run ${run}`);
      if (wanted) seen.add(counter);
      if (counter > highest) highest = counter;
    }
  });
}
