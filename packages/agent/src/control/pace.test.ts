import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MAX_KEYS, Pace } from "./pace.ts";

describe("pace", () => {
  it("lets a key take a burst, then one an interval, and a rest fills it again, never beyond the burst", () => {
    const pace = new Pace<string>({ burst: 3, interval: 100 });
    const taken = (now: number): number => Array.from({ length: 10 }, () => pace.take("a", now)).filter(Boolean).length;
    assert.deepEqual([taken(0), taken(99), taken(100), taken(350), taken(1_000_000)], [3, 0, 1, 2, 3]);
  });

  it("does not make one key pay for another", () => {
    const pace = new Pace<string>({ burst: 1, interval: 100 });
    assert.deepEqual([pace.take("a", 0), pace.take("a", 0), pace.take("b", 0)], [true, false, true]);
  });

  it("says how long to wait after more was used than there was", () => {
    const pace = new Pace<string>({ burst: 1_000, interval: 0.5 });
    assert.equal(pace.spend("a", 1_000, 0), 0);
    assert.equal(pace.spend("a", 10, 0), 5);
    assert.equal(pace.spend("a", 10, 0), 10);
    assert.equal(pace.spend("a", 0, 10), 0);
    assert.equal(pace.spend("b", 3_000, 0), 1_000);
  });

  it("remembers a bounded number of keys, and those used last", () => {
    const pace = new Pace<number>({ burst: 1, interval: 1_000_000 });
    for (let key = 0; key < 5_000; key++) pace.take(key, 0);
    assert.equal(pace.keys, MAX_KEYS);
    assert.equal(pace.take(4_999, 0), false);
    assert.equal(pace.take(0, 0), true);
  });
});
