import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@mesh/core/testing";
import { BootClock } from "./boot-clock.ts";

/** A machine whose boot time can only be read in hundredths of a second, and that sleeps. */
class Machine {
  monotonic = 5_000.125;
  asleep = 1_234.567;
  /** Time that passes while the coarse source is read. */
  readTakes = 0.01;
  reads = 0;

  get boot(): number {
    return this.monotonic + this.asleep;
  }

  clock(): BootClock {
    return new BootClock({
      monotonic: () => this.monotonic,
      boot: () => {
        this.reads++;
        this.monotonic += this.readTakes;
        const boot = Math.floor(this.boot / 10) * 10;
        this.monotonic += this.readTakes;
        return boot;
      },
    });
  }
}

for (const seed of [1, 2, 3, 4, 5]) {
  test(`never back, never ahead, behind by 10 ms at most and soon by less than one, through sleeps, seed ${seed}`, () => {
    const random = new SeededRandom(seed);
    const machine = new Machine();
    const clock = machine.clock();
    let last = Number.NEGATIVE_INFINITY;
    let sinceSleep = 0;
    for (let i = 0; i < 20_000; i++) {
      const passed = random.next() < 0.05 ? random.next() * 300 : random.next();
      machine.monotonic += passed;
      sinceSleep += passed;
      if (random.next() < 0.001) {
        machine.asleep += random.next() * 100_000;
        sinceSleep = 0;
      }
      machine.readTakes = random.next() * 0.05;
      const now = clock.now();
      assert.ok(now >= last, "it went back");
      assert.ok(now <= machine.boot + 1e-6, "it is ahead");
      if (sinceSleep > 101) assert.ok(machine.boot - now < 10.2, `${machine.boot - now} ms behind`);
      last = now;
    }
    for (let i = 0; i < 500; i++) {
      machine.monotonic += 100.001 + random.next();
      clock.now();
    }
    assert.ok(machine.boot - clock.now() < 1, `${machine.boot - clock.now()} ms behind after 500 readings`);
  });
}

test("it moves between two readings, which are 100 ms apart", () => {
  const machine = new Machine();
  const clock = machine.clock();
  const first = clock.now();
  machine.monotonic += 0.25;
  assert.ok(Math.abs(clock.now() - first - 0.25) < 1e-6);
  machine.monotonic += 99;
  clock.now();
  assert.equal(machine.reads, 1);
  machine.monotonic += 1;
  clock.now();
  assert.equal(machine.reads, 2);
});

test("a sleep is seen with the next reading", () => {
  const machine = new Machine();
  const clock = machine.clock();
  const before = clock.now();
  machine.asleep += 3_600_000;
  machine.monotonic += 100;
  assert.ok(clock.now() - before > 3_600_000);
});
