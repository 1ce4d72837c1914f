import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { RestorePace } from "./restore-pace.ts";

describe("RestorePace", () => {
  test("20 at once, then one a second; who waits as told is let through", () => {
    const clock = new ManualClock(5_000);
    const pace = new RestorePace(clock);
    for (let i = 0; i < 20; i++) assert.equal(pace.take(), 0, `restore ${i + 1}`);
    for (let i = 0; i < 5; i++) {
      const wait = pace.take();
      assert.equal(wait, 1_000);
      clock.advance(wait - 1);
      assert.equal(pace.take(), 1, "one millisecond too early");
      clock.advance(1);
      assert.equal(pace.take(), 0);
    }
  });

  test("one a second is never held up, and a rest brings all 20 back, not more", () => {
    const clock = new ManualClock();
    const pace = new RestorePace(clock);
    for (let i = 0; i < 100; i++) {
      assert.equal(pace.take(), 0);
      clock.advance(1_000);
    }
    clock.advance(3_600_000);
    const taken = Array.from({ length: 30 }, () => pace.take()).filter((wait) => wait === 0);
    assert.equal(taken.length, 20);
  });

  test("a word about it once a minute", () => {
    const clock = new ManualClock();
    const pace = new RestorePace(clock);
    const told: number[] = [];
    for (let second = 0; second < 150; second++) {
      if (pace.mayTell()) told.push(second);
      clock.advance(1_000);
    }
    assert.deepEqual(told, [0, 60, 120]);
  });
});
