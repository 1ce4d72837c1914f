import assert from "node:assert/strict";
import { test } from "node:test";
import { compareBytes } from "../bytes/bytes.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";
import { STAMP_LEAD, STAMP_STEP_RESERVE } from "./constants.ts";
import { StampClock } from "./stamp-clock.ts";
import { encodeTai64n, tai64nWallAt } from "./tai64n.ts";

const WALL: Millis = 1_700_000_000_000;
const DAY = minutes(24 * 60);

/** One run of a program: what its clock says, and a ceiling that becomes durable as soon as it is asked for. */
function start(floor: Millis | undefined, wallAt: Millis): StampClock {
  const clock = new StampClock(floor);
  clock.setWallOffset(wallAt);
  return clock;
}

function reserve(clock: StampClock, now: Millis): Millis {
  const until = clock.reservation(now) ?? assert.fail("nothing to reserve");
  clock.reserved(until);
  return until;
}

function stampAt(clock: StampClock, now: Millis, previous?: Uint8Array): Uint8Array {
  return clock.next(previous, now) ?? assert.fail("no stamp");
}

test("without a floor stamps follow the wall clock and nothing is reserved", () => {
  const clock = start(undefined, WALL);
  assert.deepEqual(stampAt(clock, 5_000), encodeTai64n(WALL + 5_000));
  assert.equal(clock.reservation(minutes(1_000)), undefined);
});

test("no stamp before the first reservation is durable; then the wall clock's", () => {
  const clock = start(0, WALL);
  assert.equal(clock.next(undefined, 0), undefined);
  const until = clock.reservation(0) ?? assert.fail();
  assert.equal(until, WALL + STAMP_LEAD);
  assert.equal(clock.next(undefined, 0), undefined, "asked for is not durable");
  assert.equal(clock.reservation(1), undefined, "asked once");
  clock.reserved(until);
  assert.deepEqual(stampAt(clock, 1), encodeTai64n(WALL + 1));
});

test("a reservation lasts five minutes of use, and a rest costs none", () => {
  const clock = start(0, WALL);
  reserve(clock, 0);
  let reservations = 0;
  for (let now = 0; now <= minutes(60); now += seconds(1)) {
    stampAt(clock, now);
    if (clock.reservation(now) !== undefined) {
      reservations++;
      clock.reserved(WALL + now + STAMP_LEAD);
    }
  }
  assert.ok(reservations >= 11 && reservations <= 12, `${reservations} in an hour`);
  assert.ok(tai64nWallAt(stampAt(clock, DAY)) < WALL + minutes(80), "after a day of rest: a step, at once");
  assert.equal(reserve(clock, DAY), WALL + DAY + STAMP_LEAD);
  assert.deepEqual(stampAt(clock, DAY), encodeTai64n(WALL + DAY));
});

for (const step of [DAY, -DAY]) {
  test(`the wall clock steps by ${step / DAY} day while running: stamps rise for everybody, none waits, all are reserved`, () => {
    const clock = start(0, WALL);
    let ceiling = reserve(clock, 0);
    const peers: Uint8Array[] = Array.from({ length: 5 }, () => stampAt(clock, 1));
    const check = (now: Millis): void => {
      for (const [i, previous] of peers.entries()) {
        const stamp = stampAt(clock, now, previous);
        assert.ok(compareBytes(stamp, previous) > 0);
        assert.ok(compareBytes(stamp, encodeTai64n(ceiling)) <= 0, "above what is durable");
        peers[i] = stamp;
      }
    };
    check(100);
    clock.setWallOffset(WALL + step);
    for (let now = 200; now < 200 + 500 * 20; now += 20) check(now); // 500 stamps for each while the write is on its way
    const until = clock.reservation(20_000);
    ceiling = until ?? ceiling;
    clock.reserved(ceiling);
    check(30_000);
    clock.setWallOffset(WALL);
    check(40_000);
  });
}

test("while no write is ever done, 600 stamps for each peer come, then none: never one above what is durable", () => {
  const clock = start(0, WALL);
  const ceiling = reserve(clock, 0);
  let stamp = stampAt(clock, STAMP_LEAD - STAMP_STEP_RESERVE);
  let count = 0;
  for (let next: Uint8Array | undefined = stamp; next !== undefined && count < 1_000; next = clock.next(stamp, STAMP_LEAD - 1)) {
    stamp = next;
    count++;
  }
  assert.ok(count >= 600 && count <= 602, `${count}`);
  assert.ok(compareBytes(stamp, encodeTai64n(ceiling)) <= 0);
});

/** What one program after the other would do on a machine whose clock is like this: the stamp that each peer saw last. */
test("clock right, then a day ahead, a day behind and right again, with a restart each time: every stamp is a new highest", () => {
  let floor = 0;
  let last: Uint8Array | undefined;
  for (const wallAt of [WALL, WALL + DAY, WALL - DAY, WALL - DAY + 1, WALL + minutes(1)]) {
    const clock = start(floor, wallAt);
    assert.equal(clock.next(undefined, 0), undefined);
    floor = reserve(clock, 0);
    for (let now = 0, previous: Uint8Array | undefined; now < seconds(60); now += seconds(5)) {
      const stamp = stampAt(clock, now, previous);
      if (last !== undefined) assert.ok(compareBytes(stamp, last) > 0, `clock at ${wallAt}, ${now}`);
      previous = stamp;
      last = stamp;
      floor = clock.reservation(now) ?? floor;
      clock.reserved(floor);
    }
  }
  assert.ok(floor < WALL + DAY + STAMP_LEAD + 5 * STAMP_STEP_RESERVE);
});

test("restarts 10 s apart never let stamps run ahead of the first one's; 100 within a second by 10 s each", () => {
  let floor = reserve(start(0, WALL), 0);
  for (let now = 0; now < minutes(60); now += STAMP_STEP_RESERVE) floor = reserve(start(floor, WALL + now), 0);
  assert.ok(floor <= WALL + minutes(60) + STAMP_LEAD, `${floor - WALL - minutes(60)}`);
  const before = floor;
  for (let i = 0; i < 100; i++) floor = reserve(start(floor, WALL + minutes(60)), 0);
  assert.ok(floor - before <= 100 * STAMP_STEP_RESERVE);
});

for (let seed = 1; seed <= 20; seed++) {
  test(`seed ${seed}: clocks that jump, writes that take their time, crashes at any moment: each peer sees stamps rise`, () => {
    const random = new SeededRandom(seed);
    const seen: (Uint8Array | undefined)[] = [undefined, undefined, undefined];
    let [durable, wallAt, waits] = [0, WALL, 0];
    for (let run = 0; run < 30; run++) {
      const clock = start(durable, wallAt);
      const sent: (Uint8Array | undefined)[] = [undefined, undefined, undefined];
      let [write, writtenAt] = [clock.reservation(0), 0];
      for (let now = 0; now < seconds(random.below(3_000)); now += random.below(10_000)) {
        if (write !== undefined && now >= writtenAt) {
          durable = write;
          clock.reserved(write);
          write = undefined;
        }
        if (random.below(50) === 0) {
          wallAt += random.below(2 * DAY) - DAY;
          clock.setWallOffset(wallAt);
        }
        const peer = random.below(3);
        const stamp = clock.next(sent[peer], now);
        if (stamp === undefined) waits++;
        else {
          const last = seen[peer];
          assert.ok(last === undefined || compareBytes(stamp, last) > 0, `run ${run} at ${now}`);
          seen[peer] = stamp;
          sent[peer] = stamp;
        }
        const wanted = clock.reservation(now);
        if (wanted !== undefined) [write, writtenAt] = [wanted, now + random.below(2_000)];
      }
      wallAt += random.below(minutes(10)); // the crash loses a write that was on its way
    }
    assert.ok(waits < 60, `${waits} waits`);
  });
}
