import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SeededRandom } from "@mesh/core/testing";
import {
  ANSWER_TIMEOUT,
  type GossipHealth,
  type GossipSeen,
  type GossipStep,
  HEAL_TIMEOUT,
  LARGER_WAIT,
  MAX_FAILURES,
  newGossipHealth,
  READY_TIMEOUT,
  ROUTINE_LOOK,
  SETTLE_TIMEOUT,
  SLOW_HEAL,
  stepGossip,
} from "./gossip-health.ts";

interface World {
  flows: boolean;
  answers: boolean;
  /** Does a heal make it flow and answer? */
  heals: boolean;
  mayCut: boolean;
  isSelfSmaller: boolean;
}

/** Runs one link's gossip until `end`, answering questions 30 ms after they were asked; `at` changes the world. */
function run(world: World, end: number, at: Readonly<Record<number, (w: World) => GossipSeen | undefined>> = {}): string[] {
  const done: string[] = [];
  let health: GossipHealth = newGossipHealth(0);
  const due: { at: number; seen: GossipSeen }[] = [{ at: 0, seen: "looked" }];
  const changes = Object.entries(at).map(([time, change]) => ({ time: Number(time), change }));
  for (;;) {
    const next = due.toSorted((a, b) => a.at - b.at)[0];
    const change = changes.toSorted((a, b) => a.time - b.time)[0];
    if (change !== undefined && change.time <= (next?.at ?? end)) {
      changes.splice(changes.indexOf(change), 1);
      const seen = change.change(world);
      if (seen !== undefined) due.push({ at: change.time, seen });
      continue;
    }
    if (next === undefined || next.at > end) return done;
    due.splice(due.indexOf(next), 1);
    const now = next.at;
    const { isSelfSmaller, mayCut, flows } = world;
    const step: GossipStep = stepGossip(health, { seen: next.seen, flows, now, isSelfSmaller, mayCut });
    health = step.health;
    assert.ok(step.lookAt > now, `looks again after ${now}`);
    for (let i = due.length - 1; i >= 0; i--) if (due[i]?.seen === "looked") due.splice(i, 1);
    due.push({ at: step.lookAt, seen: "looked" });
    for (const one of step.does.filter((does) => does !== "proven")) {
      done.push(`${one} ${now}`);
      if (one === "ask" && flows && world.answers) due.push({ at: now + 30, seen: "answered" });
      if (one === "heal" && world.heals) Object.assign(world, { flows: true, answers: true });
      if (one === "cut") return done;
    }
  }
}

function change(world: World, to: Partial<World>): undefined {
  Object.assign(world, to);
  return undefined;
}

const good: World = { flows: true, answers: true, heals: true, mayCut: true, isSelfSmaller: true };

describe("gossip health", () => {
  it("is proven by one answer, and costs nothing more until it is doubted", () => {
    assert.deepEqual(run({ ...good }, 600_000, { 300000: () => "doubted" }), ["ready 0", "ask 0", "ask 300000"]);
  });

  it("is ready as soon as it flows, and after a second without gossip too", () => {
    assert.deepEqual(run({ ...good, flows: false }, 500, { 95: (w) => change(w, { flows: true }) }), ["ready 100", "ask 100"]);
    const late = run({ ...good, flows: false }, 20_000);
    const healAt = READY_TIMEOUT + HEAL_TIMEOUT;
    assert.deepEqual(late, [`ready ${READY_TIMEOUT}`, `heal ${healAt}`, `ask ${healAt + 20}`, `healed ${healAt + 50}`]);
    const slow = run({ ...good, flows: false }, 20_000, { 2990: (w) => change(w, { flows: true }) });
    assert.deepEqual(slow, [`ready ${READY_TIMEOUT}`, "ask 3000", "healed 3030"]);
  });

  it("heals what flows by all books and is not answered", () => {
    assert.deepEqual(run({ ...good, answers: false }, 10_000), [
      "ready 0",
      "ask 0",
      `heal ${ANSWER_TIMEOUT}`,
      `ask ${ANSWER_TIMEOUT + 20}`,
      `healed ${ANSWER_TIMEOUT + 50}`,
    ]);
  });

  it("leaves the first attempt to the smaller node", () => {
    const larger = run({ ...good, isSelfSmaller: false, answers: false }, 20_000);
    assert.equal(
      larger.find((line) => line.startsWith("heal ")),
      `heal ${2 * ANSWER_TIMEOUT + 20}`,
    );
    const withoutFlow = run({ ...good, isSelfSmaller: false }, 20_000, { 10000: (w) => change(w, { flows: false }) });
    assert.equal(
      withoutFlow.find((line) => line.startsWith("heal ")),
      // Looked at 30 ms after each 5 s: that is when it was answered.
      `heal ${10_030 + LARGER_WAIT}`,
    );
  });

  it("notices within the routine look what no event told", () => {
    const done = run({ ...good }, 20_000, { 11000: (w) => change(w, { flows: false }) });
    const healAt = Number(done.find((line) => line.startsWith("heal "))?.slice(5));
    assert.ok(healAt >= 11_000 && healAt <= 11_000 + ROUTINE_LOOK, `${healAt}`);
    assert.equal(done.at(-1)?.startsWith("healed"), true);
  });

  it("lets streams move over to the connection that stays, and heals those that do not", () => {
    const lose = (w: World): GossipSeen => {
      w.flows = false;
      return "reduced";
    };
    assert.deepEqual(run({ ...good }, 15_000, { 10000: lose, 10100: (w) => change(w, { flows: true }) }).slice(2), [
      "ask 10100",
      "healed 10130",
    ]);
    assert.equal(run({ ...good }, 15_000, { 10000: lose })[2], `heal ${10_000 + SETTLE_TIMEOUT}`);
  });

  it("does not wait long for streams of a new link when one of its connections closed", () => {
    const done = run({ ...good, flows: false }, 20_000, { 100: () => "reduced" });
    assert.deepEqual(done.slice(0, 2), [`ready ${100 + SETTLE_TIMEOUT}`, `heal ${100 + SETTLE_TIMEOUT}`]);
    const rising = run({ ...good, flows: false }, 20_000, { 2000: () => "reduced" });
    assert.deepEqual(rising.slice(0, 2), [`ready ${READY_TIMEOUT}`, `heal ${2_000 + SETTLE_TIMEOUT}`]);
  });

  it("gives the connection up after five failures, and where it may not, tries once a minute", () => {
    const cut = run({ ...good, flows: false, answers: false, heals: false }, 60_000);
    assert.equal(cut.filter((line) => line.startsWith("heal")).length, MAX_FAILURES - 1);
    assert.equal(cut.at(-1)?.split(" ")[0], "cut");
    const deaf = run({ ...good, answers: false, heals: false, mayCut: false }, 3_600_000);
    const heals = deaf.filter((line) => line.startsWith("heal")).map((line) => Number(line.slice(5)));
    assert.ok(heals.length <= MAX_FAILURES + 3_600_000 / SLOW_HEAL, `${heals.length} in an hour`);
    assert.ok(heals.length >= 3_600_000 / SLOW_HEAL - 1, `${heals.length} in an hour`);
  });

  it("is proven again by the first answer after that", () => {
    const deaf = { ...good, answers: false, heals: false, mayCut: false };
    const done = run(deaf, 1_000_000, { 500000: (w) => change(w, { answers: true }) });
    const healedAt = Number(done.find((line) => line.startsWith("healed"))?.slice(7));
    assert.ok(healedAt > 500_000 && healedAt <= 500_000 + ROUTINE_LOOK + 30, `${healedAt}`);
    assert.equal(done.at(-1), `healed ${healedAt}`);
  });

  for (const seed of [1, 2, 3, 4, 5]) {
    it(`never stays unproven on a link that answers, whatever happened before (seed ${seed})`, () => {
      const random = new SeededRandom(seed);
      const changes: Record<number, (w: World) => GossipSeen | undefined> = {};
      for (let i = 0; i < 200; i++) {
        const [flows, answers, seen] = [random.next() < 0.6, random.next() < 0.6, random.pick(["reduced", "doubted", undefined] as const)];
        changes[Math.floor(random.next() * 600_000)] = (w) => {
          Object.assign(w, { flows, answers });
          return seen;
        };
      }
      changes[600_000] = (w) => change(w, { flows: true, answers: true });
      changes[700_000] = () => "doubted";
      const world = { ...good, heals: false, mayCut: false, isSelfSmaller: random.next() < 0.5 };
      const done = run(world, 800_000, changes);
      // Proven: the doubt at 700 s is one question, and nothing follows.
      assert.equal(done.at(-1), "ask 700000");
    });
  }
});
