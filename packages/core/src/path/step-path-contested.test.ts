import assert from "node:assert/strict";
import { test } from "node:test";
import { direct } from "./candidate.ts";
import { at, BY_R, direct1, KNOWN, PathRun, relayedByR, T, X, Y } from "./path-run-fixture.ts";
import { BESIDE_FOR } from "./path-state.ts";

const FURTHER = direct(at(1), 7);

/** Traffic of the peer comes in all the time, by whatever way. */
function talk(run: PathRun, end: number): void {
  run.talkUntil(end);
}

test("a straight path that comes after a relayed one has the relay beside it, for a moment", () => {
  const run = new PathRun({ ...KNOWN, state: relayedByR });
  run.step({ type: "answered", candidate: FURTHER, rtt: 20 }, T);
  talk(run, T + 3_000);
  assert.deepEqual(run.take(), ["0 use 1, by r", `${BESIDE_FOR} use 1`]);
});

test("what moves no path: PINGs and traffic of the peer; only its answer to our own PING there does", () => {
  const run = new PathRun({ ...KNOWN, state: relayedByR });
  run.step({ type: "heard", from: FURTHER }, T);
  run.step({ type: "traffic", dataSentAt: T + 10, dataReceivedAt: T + 10, authenticatedReceivedAt: T + 10 }, T + 10);
  assert.equal(run.peer.state.name, "relayed");
  assert.ok(!run.take().some((effect) => effect.includes("use")));
});

for (const [what, event] of [
  ["a PING of the peer by a relay", { type: "heard", from: BY_R }],
  ["a PING of the peer from another place", { type: "heard", from: Y }],
  ["an offer of the peer", { type: "offered", from: BY_R, own: [], reflexive: [], isAnswer: false }],
] as const)
  test(`${what} contests a straight path: without an answer there it is suspect in 2 s, whatever traffic comes in`, () => {
    const run = new PathRun({ ...KNOWN, state: { ...direct1, path: { ...direct1.path, measuredAt: T - 5_000 } } });
    talk(run, T + 1_000);
    run.step(event, T + 1_100);
    run.talkUntil(T + 3_600, () => run.peer.state.name !== "direct");
    assert.equal(run.peer.state.name, "suspect");
    assert.ok(run.take().some((effect) => effect.endsWith("use 1, by r")));
  });

test("an answer ends it: from then on traffic counts again", () => {
  const run = new PathRun({ ...KNOWN, state: { ...direct1, path: { ...direct1.path, measuredAt: T - 5_000 } } });
  run.step({ type: "heard", from: BY_R }, T);
  run.step({ type: "answered", candidate: X, rtt: 20 }, T + 100);
  talk(run, T + 20_000);
  assert.equal(run.peer.state.name, "direct");
  assert.deepEqual(run.take(), ["0 use 1, by r", "0 heartbeat 1", `${BESIDE_FOR} use 1`]);
});

test("PINGs by a relay ask no more than once a second", () => {
  const run = new PathRun({ ...KNOWN, state: { ...direct1, path: { ...direct1.path, measuredAt: T - 5_000 } } });
  run.answers = () => true;
  for (let now = T; now < T + 5_000; now += 50) run.step({ type: "heard", from: BY_R }, now);
  assert.ok(run.take().length <= 6);
});

test("a path by a further socket that sleeps is asked by that socket when packets wake it", () => {
  const last = { candidate: FURTHER, rtt: 20, measuredAt: T };
  const run = new PathRun({ ...KNOWN, state: { name: "dormant", last, isLapsed: false, heardAt: T, sinceAt: T } });
  run.step({ type: "wanted" }, T + 1);
  const [, asked] = run.effects;
  assert.deepEqual(asked?.effect, { type: "ping", to: FURTHER, purpose: "discover" });
});

test("the peer goes another way that is as good: once it has answered there, so do we; a PING that is only a question moves nothing", () => {
  for (const leads of [true, false]) {
    const run = new PathRun({ ...KNOWN, state: { ...direct1, path: { ...direct1.path, measuredAt: T - 5_000 } } });
    run.step({ type: "heard", from: Y, leads }, T);
    for (const candidate of [X, Y]) run.step({ type: "answered", candidate, rtt: 20 }, T + 20);
    assert.deepEqual(
      run.take().filter((line) => line.includes("use")),
      leads ? ["20 use 2"] : [],
    );
  }
});
