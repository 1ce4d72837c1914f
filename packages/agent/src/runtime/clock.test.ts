import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { systemClock } from "./clock.ts";

describe("systemClock", () => {
  test("fires at the instant, not before, even when setTimeout is early", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let now = 1_000;
    const fired = mock.fn();
    systemClock(() => now).at(1_500, fired);
    now = 1_499.6;
    t.mock.timers.tick(500);
    assert.equal(fired.mock.callCount(), 0, "half a millisecond is missing");
    now = 1_500;
    t.mock.timers.tick(1);
    assert.equal(fired.mock.callCount(), 1);
    t.mock.timers.tick(100_000);
    assert.equal(fired.mock.callCount(), 1, "once");
  });

  test("a timer beyond 2^31 ms does not fire at once", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let now = 0;
    const fired = mock.fn();
    systemClock(() => now).at(3_000_000_000, fired);
    for (let i = 0; i < 100; i++) {
      now += 2_000;
      t.mock.timers.tick(2_000);
    }
    assert.equal(fired.mock.callCount(), 0);
    now = 3_000_000_000;
    t.mock.timers.tick(2_000);
    assert.equal(fired.mock.callCount(), 1);
  });

  test("a timer that fell due while the machine slept fires within 2 s of waking", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let now = 0;
    const fired = mock.fn();
    systemClock(() => now).at(60_000, fired);
    now = 3_600_000;
    t.mock.timers.tick(2_000);
    assert.equal(fired.mock.callCount(), 1);
  });

  test("what is due already fires soon, but never inside the call", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const fired = mock.fn();
    systemClock(() => 500).at(-1, fired);
    assert.equal(fired.mock.callCount(), 0);
    t.mock.timers.tick(1);
    assert.equal(fired.mock.callCount(), 1);
  });

  test("cancelled means never, also between two naps", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let now = 0;
    const fired = mock.fn();
    const cancel = systemClock(() => now).at(5_000, fired);
    now = 2_000;
    t.mock.timers.tick(2_000);
    cancel();
    now = 10_000;
    t.mock.timers.tick(10_000);
    assert.equal(fired.mock.callCount(), 0);
    cancel();
  });

  test("many timers are one: an idle process wakes once a nap, and they fire in the order of their instants", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let now = 0;
    let looks = 0;
    const clock = systemClock(() => {
      looks++;
      return now;
    });
    const fired: string[] = [];
    for (const at of [60_500, 60_000, 61_000, 60_000]) clock.at(at, () => fired.push(String(at)));
    const cancelled = clock.at(60_200, () => assert.fail());
    cancelled();
    looks = 0;
    for (let i = 0; i < 30; i++) {
      now += 2_000;
      t.mock.timers.tick(2_000);
    }
    assert.ok(looks <= 70, `${looks} looks at the clock in 30 naps`);
    now = 61_000;
    t.mock.timers.tick(2_000);
    assert.deepEqual(fired, ["60000", "60000", "60500", "61000"]);
  });

  test("a timer that throws does not take the others with it", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let now = 0;
    const clock = systemClock(() => now);
    const fired = mock.fn();
    clock.at(100, () => {
      throw new Error("rule broken");
    });
    clock.at(100, fired);
    now = 100;
    assert.throws(() => t.mock.timers.tick(100), /rule broken/);
    t.mock.timers.tick(1);
    assert.equal(fired.mock.callCount(), 1);
  });

  test("a timer that sets itself again for now does not keep the process from everything else", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const clock = systemClock(() => 100);
    const fired = mock.fn(() => void clock.at(100, fired));
    clock.at(100, fired);
    t.mock.timers.tick(1);
    assert.equal(fired.mock.callCount(), 1);
    t.mock.timers.tick(1);
    assert.equal(fired.mock.callCount(), 2);
  });

  test("without an engine's clock it is monotonic", () => {
    const clock = systemClock();
    const first = clock.now();
    assert.ok(first > 0 && clock.now() >= first);
    assert.ok(Math.abs(clock.wallNow() - Date.now()) < 1_000);
  });
});
