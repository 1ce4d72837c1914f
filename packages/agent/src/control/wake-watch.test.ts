import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SettlingClock } from "./settling-clock-fixture.ts";
import { SLEPT_AFTER, TICK, watchWake } from "./wake-watch.ts";

/** A clock on which the machine may sleep: time passes and no timer runs. */
class SleepyClock extends SettlingClock {
  #slept = 0;

  override now(): number {
    return super.now() + this.#slept;
  }

  override at(dueAt: number, fn: () => void): () => void {
    return super.at(dueAt - this.#slept, fn);
  }

  sleep(duration: number): void {
    this.#slept += duration;
  }
}

describe("wake watch", () => {
  it("tells of each sleep once, soon after it, and how long it was", async () => {
    const clock = new SleepyClock();
    const woke: number[] = [];
    const stop = watchWake({ clock, onWake: (slept) => woke.push(Math.round(slept / 1_000)) });
    await clock.advance(60_500);
    clock.sleep(3_600_000);
    await clock.advance(TICK);
    assert.deepEqual(woke, [3_600]);
    await clock.advance(60_000);
    clock.sleep(60_000);
    await clock.advance(60_000);
    assert.deepEqual(woke, [3_600, 60]);
    stop();
    assert.equal(clock.pending, 0);
  });

  it("takes a busy moment for none", async () => {
    const clock = new SleepyClock();
    const woke: number[] = [];
    watchWake({ clock, onWake: (slept) => woke.push(slept) });
    for (let i = 0; i < 10; i++) {
      clock.sleep(SLEPT_AFTER - 1);
      await clock.advance(2 * TICK);
    }
    assert.deepEqual(woke, []);
  });

  it("can be stopped from what it tells", async () => {
    const clock = new SleepyClock();
    const stop = watchWake({ clock, onWake: () => stop() });
    clock.sleep(3_600_000);
    await clock.advance(TICK);
    assert.equal(clock.pending, 0);
  });
});
