import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { type Guest, type GuestRefusal, Guests, MAX_UNPROVEN_PER_SOURCE, PROOF_TIMEOUT } from "./guests.ts";

class House {
  readonly clock: ManualClock = new ManualClock(1_000);
  readonly refused: GuestRefusal[] = [];
  readonly closed: string[] = [];
  readonly guests: Guests;

  constructor(max = 64) {
    this.guests = new Guests({ clock: this.clock, max, onRefused: (cause) => this.refused.push(cause) });
  }

  /** Each a second after the one before. */
  admit(source: string, name = source): Guest | undefined {
    this.clock.advance(1_000);
    return this.guests.admit(source, () => this.closed.push(name));
  }
}

test("who is not proven in time is closed; each step has its own time", () => {
  const house = new House();
  const guest = house.guests.admit("a", () => house.closed.push("a"));
  house.clock.advance(PROOF_TIMEOUT - 1);
  guest?.upgraded();
  house.clock.advance(PROOF_TIMEOUT - 1);
  assert.deepEqual(house.closed, []);
  house.clock.advance(1);
  assert.deepEqual([house.closed, house.refused, house.guests.count], [["a"], ["notProven"], 0]);
});

test("who is proven stays", () => {
  const house = new House();
  const guest = house.admit("a");
  guest?.proven();
  guest?.upgraded();
  house.clock.advance(10 * PROOF_TIMEOUT);
  assert.deepEqual([house.closed, house.guests.count, house.clock.timerCount], [[], 1, 0]);
  guest?.left();
  assert.equal(house.guests.count, 0);
});

test("of one source the oldest that is not proven makes room; those that are do not count", () => {
  const house = new House();
  for (let i = 0; i < 10; i++) house.admit("a", `member ${i}`)?.proven();
  for (let i = 0; i <= MAX_UNPROVEN_PER_SOURCE; i++) house.admit("a", `stranger ${i}`);
  assert.deepEqual([house.closed, house.refused, house.guests.count], [["stranger 0"], ["pushedOut"], 10 + MAX_UNPROVEN_PER_SOURCE]);
});

test("when it is full strangers push out each other, and nobody who is proven", () => {
  const house = new House(3);
  house.admit("a")?.proven();
  house.admit("b")?.proven();
  house.admit("c");
  const last = house.admit("d");
  assert.deepEqual(house.closed, ["c"]);
  last?.proven();
  assert.equal(house.admit("e"), undefined);
  assert.deepEqual([house.refused, house.guests.count], [["pushedOut", "noRoom"], 3]);
});

test("one source that has filled the house gives up its last places, as long as it has a quarter of them; to others, not to itself", () => {
  const house = new House(8);
  for (let i = 0; i < 8; i++) house.admit("greedy", `greedy ${i}`)?.proven();
  assert.equal(house.admit("greedy"), undefined);
  for (const source of ["a", "b", "c", "d", "e", "f", "g"]) house.admit(source)?.proven();
  assert.deepEqual(
    house.closed,
    [7, 6, 5, 4, 3, 2, 1].map((i) => `greedy ${i}`),
  );
  assert.equal(house.admit("h"), undefined);
  assert.equal(house.guests.count, 8);
});

test("a flood of one source is held back to 8 a second, one of all to 50", () => {
  const house = new House(1_000);
  const admitted = (sources: (i: number) => string): number =>
    Array.from({ length: 200 }, (_, i) => house.guests.admit(sources(i), () => {})).filter((guest) => guest !== undefined).length;
  assert.equal(
    admitted(() => "a"),
    8,
  );
  assert.equal(
    admitted((i) => `b ${i}`),
    42,
  );
  house.clock.advance(1_000);
  assert.equal(
    admitted((i) => `c ${i}`),
    50,
  );
});

test("closed, it leaves no timer", () => {
  const house = new House();
  house.admit("a");
  house.guests.close();
  assert.equal(house.clock.timerCount, 0);
});

test("a flood of connections from many addresses keeps out newcomers, and nobody who has proven itself before", () => {
  const house = new House();
  house.admit("member")?.proven();
  const comesBack = { member: 0, newcomer: 0 };
  for (let second = 0; second < 60; second++) {
    house.clock.advance(1_000);
    for (let i = 0; i < 50; i++) house.guests.admit(`flood ${i % 7}.${second}`, () => {})?.left();
    for (let i = 0; i < 50; i++) house.guests.admit(`flood ${i}`, () => {})?.left();
    for (const who of ["member", "newcomer"] as const) {
      const guest = house.guests.admit(who, () => {});
      if (guest !== undefined) comesBack[who]++;
      guest?.left();
    }
  }
  assert.deepEqual(comesBack, { member: 60, newcomer: 0 });
});
