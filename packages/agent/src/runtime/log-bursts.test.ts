import assert from "node:assert/strict";
import { test } from "node:test";
import { LogBursts } from "./log-bursts.ts";
import { ManualClock } from "./manual-clock-fixture.ts";

const [DEBUG, INFO, WARN] = [20, 30, 40];

interface Bench {
  readonly clock: ManualClock;
  readonly bursts: LogBursts;
  readonly written: string[];
  say(message: string, times?: number, level?: number): void;
}

function bench(): Bench {
  const clock = new ManualClock();
  const bursts = new LogBursts(clock);
  const written: string[] = [];
  const say = (message: string, times = 1, level: number = INFO): void => {
    for (let i = 0; i < times; i++) {
      bursts.pass(message, level, (fields) => written.push(fields === undefined ? message : `${message} ${JSON.stringify(fields)}`));
    }
  };
  return { clock, bursts, written, say };
}

test("20 lines of a message in a minute are whole, the others one line with their count", () => {
  const { clock, written, say } = bench();
  say("a", 20);
  clock.advance(59_999);
  say("a", 37);
  assert.equal(written.length, 20);
  clock.advance(1);
  assert.deepEqual(written.slice(20), ['a {"repeated":37}']);
});

test("while it goes on only the count comes, once a minute; after a quiet minute lines are whole again", () => {
  const { clock, written, say } = bench();
  say("a", 25);
  clock.advance(60_000);
  say("a", 100);
  clock.advance(60_000);
  assert.deepEqual(written.slice(20), ['a {"repeated":5}', 'a {"repeated":100}']);
  clock.advance(60_000);
  say("a");
  assert.equal(written.at(-1), "a");
  assert.equal(written.length, 23);
});

test("messages and levels are counted apart, and what is below info is never held back", () => {
  const { written, say } = bench();
  say("a", 30);
  say("b", 3);
  say("a", 3, WARN);
  say("a", 50, DEBUG);
  assert.equal(written.length, 20 + 3 + 3 + 50);
});

test("a slow message is never held back and needs no timer", () => {
  const { clock, written, say } = bench();
  for (let i = 0; i < 100; i++) {
    say("a");
    clock.advance(4_000);
  }
  assert.equal(written.length, 100);
  assert.equal(clock.timerCount, 0);
});

test("what is held back is told when the log is closed", () => {
  const { clock, bursts, written, say } = bench();
  say("a", 22);
  bursts.close();
  assert.equal(written.at(-1), 'a {"repeated":2}');
  assert.equal(clock.timerCount, 0);
});

test("beyond 512 messages a new one is written as it comes, until older ones are forgotten", () => {
  const { clock, written, say } = bench();
  for (let i = 0; i < 512; i++) say(`message ${i}`);
  say("one more", 30);
  assert.equal(written.filter((line) => line === "one more").length, 30);
  clock.advance(60_000);
  say("one more", 30);
  assert.equal(written.filter((line) => line === "one more").length, 50);
});
