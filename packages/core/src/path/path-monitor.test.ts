import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import type { Millis } from "../time/millis.ts";
import { MAX_CANDIDATES } from "./candidate.ts";
import {
  NEW_PATH,
  type PathEvent,
  type PathState,
  type PathStep,
  type PeerPath,
  PINGS_BEFORE_SUSPECT,
  PROBING_FOR,
  pathWakeAt,
  SILENCE_BEFORE_PING,
  SUSPECT_FOR,
  stepPath,
} from "./path-monitor.ts";

const at = (last: number): Endpoint => ({ ip: `192.0.2.${last}` as Ip, port: 51_820 });
const [X, Y, Z] = [at(1), at(2), at(3)];
const T = 100_000;
const RETRIES = [5, 10, 20, 40, 60, 300, 300, 300].map((s) => s * 1_000);
const candidates = [X, Y];

const direct: Extract<PathState, { name: "direct" }> = {
  name: "direct",
  path: { endpoint: X, rtt: 20, measuredAt: T },
  heardAt: T,
  activeAt: T,
  unansweredAt: undefined,
  asked: 0,
  askedAt: 0,
};
const states = {
  dormant: { name: "dormant" },
  probing: { name: "probing", sinceAt: T, round: 1, failures: 0, failedAt: undefined },
  direct,
  suspect: { name: "suspect", path: { endpoint: X, rtt: 20, measuredAt: T }, heardAt: T - 2_000, sinceAt: T, round: 1 },
  failed: { name: "failed", failedAt: T - 9_000, triedAt: T - 5_000, retryAt: T + 5_000, failures: 2 },
  stopped: { name: "stopped" },
} satisfies Readonly<Record<PathState["name"], PathState>>;
const answer: PathEvent = { type: "answered", endpoint: X, rtt: 30 };

/** One event at T: the state after it and whom it pings or uses. */
function step(state: PathState, event: PathEvent, now: Millis = T): readonly [state: string, ...effects: string[]] {
  return told(stepPath({ state, candidates }, event, now));
}

function told({ peer, effects }: PathStep): readonly [state: string, ...effects: string[]] {
  return [
    peer.state.name,
    ...effects.map((effect) =>
      effect.type === "ping" ? `${effect.purpose} ${effect.to.ip.slice(-1)}` : `use ${effect.endpoint.ip.slice(-1)}`,
    ),
  ];
}

const ALL = ["discover 1", "discover 2"];
// Row by row as in the table above PathState.
const table: Readonly<Record<PathState["name"], Readonly<Record<string, readonly [PathEvent, readonly string[]]>>>> = {
  dormant: {
    "own network changed": [{ type: "network-changed", retryAt: T + 50 }, ["dormant"]],
    wanted: [{ type: "wanted" }, ["probing", ...ALL]],
    answered: [answer, ["direct", "use 1"]],
    "heard from elsewhere": [{ type: "heard", from: Z }, ["probing", ...ALL, "discover 3"]],
    doubted: [{ type: "doubted" }, ["probing", ...ALL]],
    timer: [{ type: "timer" }, ["dormant"]],
    "new candidates": [{ type: "candidates", endpoints: [Z] }, ["dormant"]],
  },
  probing: {
    "own network changed": [{ type: "network-changed", retryAt: T + 50 }, ["probing"]],
    wanted: [{ type: "wanted" }, ["probing"]],
    answered: [answer, ["direct", "use 1"]],
    "heard from elsewhere": [{ type: "heard", from: Z }, ["probing", "triggered 3"]],
    doubted: [{ type: "doubted" }, ["probing"]],
    "timer before its time": [{ type: "timer" }, ["probing"]],
    "new candidates": [{ type: "candidates", endpoints: [X, Z] }, ["probing", "discover 3"]],
  },
  direct: {
    wanted: [{ type: "wanted" }, ["direct"]],
    "answered there": [answer, ["direct"]],
    "answered elsewhere, slower": [{ type: "answered", endpoint: Y, rtt: 40 }, ["direct"]],
    "answered elsewhere, faster by less than 5 ms": [{ type: "answered", endpoint: Y, rtt: 15.1 }, ["direct"]],
    "answered elsewhere, faster by 5 ms": [{ type: "answered", endpoint: Y, rtt: 15 }, ["direct", "use 2"]],
    "heard there": [{ type: "heard", from: X }, ["direct"]],
    "heard from elsewhere": [{ type: "heard", from: Z }, ["direct", "heartbeat 1", "triggered 3"]],
    "own network changed": [{ type: "network-changed", retryAt: T + 50 }, ["direct", "heartbeat 1"]],
    doubted: [{ type: "doubted" }, ["direct", "heartbeat 1"]],
    "timer before its time": [{ type: "timer" }, ["direct"]],
    "new candidates": [{ type: "candidates", endpoints: [Z] }, ["direct"]],
  },
  suspect: {
    "own network changed": [{ type: "network-changed", retryAt: T + 50 }, ["suspect"]],
    wanted: [{ type: "wanted" }, ["suspect"]],
    answered: [answer, ["direct", "use 1"]],
    "answered elsewhere": [{ type: "answered", endpoint: Z, rtt: 900 }, ["direct", "use 3"]],
    "heard there": [{ type: "heard", from: X }, ["suspect", "triggered 1"]],
    doubted: [{ type: "doubted" }, ["suspect"]],
    "timer before its time": [{ type: "timer" }, ["suspect"]],
    "new candidates": [{ type: "candidates", endpoints: [Z] }, ["suspect", "discover 3"]],
  },
  failed: {
    "wanted 5 s after the last try": [{ type: "wanted" }, ["probing", ...ALL]],
    answered: [answer, ["direct", "use 1"]],
    "heard there": [{ type: "heard", from: X }, ["probing", ...ALL]],
    doubted: [{ type: "doubted" }, ["failed"]],
    "timer before its time": [{ type: "timer" }, ["failed"]],
    "new candidates": [{ type: "candidates", endpoints: [Z] }, ["probing", "discover 3"]],
    "candidates it had": [{ type: "candidates", endpoints: [Y] }, ["failed"]],
    "own network changed": [{ type: "network-changed", retryAt: T + 50 }, ["failed"]],
  },
  stopped: {
    "own network changed": [{ type: "network-changed", retryAt: T + 50 }, ["stopped"]],
    wanted: [{ type: "wanted" }, ["stopped"]],
    answered: [answer, ["direct", "use 1"]],
    "heard from elsewhere": [{ type: "heard", from: Z }, ["probing", ...ALL, "discover 3"]],
    doubted: [{ type: "doubted" }, ["stopped"]],
    timer: [{ type: "timer" }, ["stopped"]],
    "new candidates": [{ type: "candidates", endpoints: [Z] }, ["dormant"]],
  },
};
for (const [name, rows] of Object.entries(table) as [PathState["name"], (typeof table)["direct"]][]) {
  for (const [what, [event, wanted]] of Object.entries(rows))
    test(`${name}, ${what}: ${wanted.join(", ")}`, () => assert.deepEqual(step(states[name], event), wanted));
}

test("a goodbye ends whatever was going on: nothing is tried, and old addresses are forgotten", () => {
  for (const state of Object.values(states)) {
    const { peer, effects } = stepPath({ state, candidates }, { type: "stopped" }, T);
    assert.deepEqual({ peer, effects }, { peer: { state: { name: "stopped" }, candidates: [] }, effects: [] }, state.name);
    assert.equal(pathWakeAt(peer), undefined);
  }
});

test("packets that wait for a session to a silent peer make its path suspect as those that are sent do", () => {
  let peer: PeerPath = { state: direct, candidates };
  const pings: number[] = [];
  for (let now = T; peer.state.name === "direct" && now < T + 10_000; now += 10) {
    if (now % 1_000 === 0) peer = stepPath(peer, { type: "wanted" }, now).peer;
    const step = stepPath(peer, { type: "timer" }, now);
    peer = step.peer;
    for (const _ of step.effects) pings.push(now - T);
  }
  assert.equal(peer.state.name, "suspect");
  assert.ok((pings[0] ?? 0) >= SILENCE_BEFORE_PING && (pings.at(-1) ?? Number.POSITIVE_INFINITY) < 2_500, pings.join());
});

test("data for a dead peer is no flood: wanted counts again 5 s after the last try", () => {
  assert.deepEqual(step({ ...states.failed, triedAt: T - 4_999 }, { type: "wanted" }), ["failed"]);
});

test("what is heard from elsewhere while the path in use is asked already asks it no more often", () => {
  assert.deepEqual(step({ ...direct, asked: 1, askedAt: T }, { type: "heard", from: Z }), ["direct", "triggered 3"]);
});

test("when our own network changed, a failed path is tried soon, and no later than it would have been", () => {
  const after = (retryAt: Millis): Millis | undefined =>
    pathWakeAt(stepPath({ state: states.failed, candidates }, { type: "network-changed", retryAt }, T).peer);
  assert.equal(after(T + 50), T + 50);
  assert.equal(after(T + 60_000), states.failed.retryAt);
});

test("a path that is being asked gives way to any that answers", () => {
  assert.deepEqual(step({ ...direct, asked: 1, askedAt: T }, { type: "answered", endpoint: Y, rtt: 500 }), ["direct", "use 2"]);
});

test("probing asks all at 0, 100, 300, 700 and 1,500 ms and fails at 2.5 s; then waits 5, 10, 20, 40, 60 s and every 5 min", () => {
  let { peer, effects } = stepPath({ ...NEW_PATH, candidates }, { type: "wanted" }, T);
  let startedAt = T;
  for (const wait of RETRIES) {
    const asked: Millis[] = effects.length > 0 ? [0] : [];
    for (let now = pathWakeAt(peer) ?? assert.fail(); ; now = pathWakeAt(peer) ?? assert.fail()) {
      ({ peer, effects } = stepPath(peer, { type: "timer" }, now));
      if (peer.state.name === "failed") {
        assert.equal(now, startedAt + PROBING_FOR);
        break;
      }
      asked.push(now - startedAt);
    }
    assert.deepEqual(asked, [0, 100, 300, 700, 1_500]);
    startedAt = pathWakeAt(peer) ?? assert.fail();
    assert.equal(startedAt - (peer.state.name === "failed" ? peer.state.triedAt : 0), wait);
    ({ peer, effects } = stepPath(peer, { type: "timer" }, startedAt));
    assert.equal(peer.state.name, "probing");
  }
});

test("failed is counted from the first questions without an answer, through all retries", () => {
  const run = new Run({ state: { ...states.suspect, heardAt: T - 2_000, sinceAt: T - 100 }, candidates });
  run.until(T + 30_000);
  const { state } = run.peer;
  assert.ok((state.name === "failed" || state.name === "probing") && state.failedAt === T - 100);
});

test("a suspect path asks all at once and at 100, 300 and 700 ms, and is given up after 1.5 s", () => {
  const run = new Run({ state: { ...direct, asked: PINGS_BEFORE_SUSPECT, askedAt: T - 150 }, candidates });
  run.until(T + SUSPECT_FOR);
  const asked = run.effects.map(({ now, effect }) => `${now - T} ${effect.type === "ping" ? effect.to.ip.slice(-1) : ""}`);
  assert.deepEqual(asked, ["0 1", "0 2", "100 1", "100 2", "300 1", "300 2", "700 1", "700 2"]);
  assert.equal(run.peer.state.name, "failed");
});

test("quiet both ways but active: one heartbeat every 5 s, none after 45 s without user data", () => {
  const run = new Run({ state: direct, candidates });
  run.answers = true;
  run.until(T + 600_000);
  assert.deepEqual(
    run.effects.map(({ now }) => now - T),
    [5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000],
  );
  assert.equal(pathWakeAt(run.peer), undefined);
});

test("a peer that nobody sends to costs nothing: no wake-up when dormant, and none on a path found but not used", () => {
  assert.equal(pathWakeAt(NEW_PATH), undefined);
  for (const now of [0, 7, 40_000, T]) assert.equal(pathWakeAt(stepPath({ ...NEW_PATH, candidates }, answer, now).peer), undefined);
});

test("PINGs of a slow path are two round trips apart", () => {
  assert.equal(
    pathWakeAt({ candidates, state: { ...direct, asked: 1, askedAt: T, path: { endpoint: X, rtt: 400, measuredAt: T } } }),
    T + 800,
  );
  assert.equal(
    pathWakeAt({ candidates, state: { ...direct, asked: 1, askedAt: T, path: { endpoint: X, rtt: 1, measuredAt: T } } }),
    T + 150,
  );
});

test("round trips are smoothed by an eighth", () => {
  const { state } = stepPath({ state: direct, candidates }, { type: "answered", endpoint: X, rtt: 100 }, T).peer;
  assert.ok(state.name === "direct" && state.path.rtt === 30);
});

test("candidates are bounded, the path in use is kept, and where the peer was heard is added last", () => {
  const many = Array.from({ length: 40 }, (_, i) => at(100 + i));
  const claimed = stepPath({ state: direct, candidates }, { type: "candidates", endpoints: many }, T).peer;
  assert.deepEqual([claimed.candidates.length, claimed.candidates.at(-1)], [MAX_CANDIDATES, X]);
  const heard = stepPath(claimed, { type: "heard", from: Z }, T).peer;
  assert.deepEqual([heard.candidates.length, heard.candidates.at(-1)], [MAX_CANDIDATES, Z]);
  const probing = stepPath({ state: states.probing, candidates }, { type: "candidates", endpoints: many }, T);
  assert.equal(probing.effects.length, MAX_CANDIDATES);
});

for (let seed = 1; seed <= 50; seed++) {
  test(`seed ${seed}: an active peer that falls silent is suspect within 2.5 s of its last word`, () => {
    const random = new SeededRandom(seed);
    const rtt = random.below(100);
    const lastWordAt = T + random.below(5_000) + random.next();
    const sendInterval = 1 + random.below(250);
    const run = new Run({ state: { ...direct, path: { endpoint: X, rtt, measuredAt: T } }, candidates });
    const phase = random.below(500) + random.next();
    for (let readAt = T + phase; readAt < lastWordAt + 4_000; readAt += 500) {
      run.until(readAt);
      if (run.peer.state.name === "suspect" || run.peer.state.name === "failed") break;
      const dataSentAt = T + Math.floor((readAt - T) / sendInterval) * sendInterval;
      const heardAt = Math.min(readAt, lastWordAt);
      run.step({ type: "traffic", dataSentAt, dataReceivedAt: heardAt, authenticatedReceivedAt: heardAt }, readAt);
    }
    run.until(lastWordAt + 4_000);
    const suspectAt = run.enteredAt.get("suspect") ?? assert.fail("never suspect");
    assert.ok(suspectAt > lastWordAt && suspectAt <= lastWordAt + 2_500, `suspect ${suspectAt - lastWordAt} ms after the last word`);
  });
}

test("a peer that answers with data alone is never asked", () => {
  const run = new Run({ state: direct, candidates });
  for (let now = T; now < T + 60_000; now += 500) {
    run.until(now);
    run.step({ type: "traffic", dataSentAt: now, dataReceivedAt: now - 5, authenticatedReceivedAt: now - 5 }, now);
  }
  assert.deepEqual(run.effects, []);
});

test("after a stall it goes on with the next round and makes up for none", () => {
  const { peer, effects } = stepPath({ state: states.probing, candidates }, { type: "timer" }, T + 1_000);
  assert.equal(effects.length, candidates.length);
  assert.equal(pathWakeAt(peer), T + 1_500);
});

for (let seed = 1; seed <= 20; seed++) {
  test(`seed ${seed}: in 2,000 random events no timer leaves a wake-up that is due, and whatever happened, an answer makes it direct`, () => {
    const random = new SeededRandom(seed);
    const run = new Run({ ...NEW_PATH });
    let now = T;
    for (let i = 0; i < 2_000; i++) {
      now += random.below(4) === 0 ? random.below(60_000) : random.below(400);
      run.step(random.below(3) === 0 ? { type: "timer" } : randomEvent(random, now), now);
      assert.ok(run.peer.candidates.length <= MAX_CANDIDATES);
    }
    run.step({ type: "candidates", endpoints: candidates }, now);
    run.step({ type: "wanted" }, now);
    const dueBefore = now + 300_000 + PROBING_FOR;
    run.answers = true;
    while (run.peer.state.name !== "direct") run.until((pathWakeAt(run.peer) ?? assert.fail("stuck")) + 1);
    assert.ok(run.now <= dueBefore, `direct ${run.now - now} ms later`);
  });
}

test("when a failed peer's addresses answer again it is direct within the retry interval", () => {
  for (const deadFor of [3_000, 10_000, 60_000, 1_000_000]) {
    const run = new Run(stepPath({ ...NEW_PATH, candidates }, { type: "wanted" }, T).peer);
    run.until(T + deadFor);
    run.answers = true;
    const wait = run.peer.state.name === "failed" ? run.peer.state.retryAt - run.now : PROBING_FOR;
    run.until(T + deadFor + wait);
    assert.equal(run.peer.state.name, "direct", `dead for ${deadFor}`);
  }
});

function randomEvent(random: SeededRandom, now: Millis): PathEvent {
  const endpoint = at(1 + random.below(30));
  const ago = (): Millis => now - random.below(3_000);
  const events: readonly PathEvent[] = [
    { type: "wanted" },
    { type: "doubted" },
    { type: "heard", from: endpoint },
    { type: "answered", endpoint, rtt: random.below(5_000) },
    { type: "candidates", endpoints: Array.from({ length: random.below(20) }, () => at(1 + random.below(30))) },
    { type: "traffic", dataSentAt: ago(), dataReceivedAt: ago(), authenticatedReceivedAt: ago() },
  ];
  return random.pick(events) ?? { type: "timer" };
}

/** A peer on simulated time: timers fire when asked for, PINGs are answered at once or not at all. */
class Run {
  peer: PeerPath;
  now: Millis = T;
  /** PINGs are answered. */
  answers = false;
  readonly effects: { readonly now: Millis; readonly effect: PathStep["effects"][number] }[] = [];
  readonly enteredAt = new Map<PathState["name"], Millis>();

  constructor(peer: PeerPath) {
    this.peer = peer;
  }

  step(event: PathEvent, now: Millis): void {
    this.now = now;
    const before = this.peer.state.name;
    const { peer, effects } = stepPath(this.peer, event, now);
    this.peer = peer;
    if (peer.state.name !== before) this.enteredAt.set(peer.state.name, now);
    if (event.type === "timer") assert.ok((pathWakeAt(peer) ?? Number.POSITIVE_INFINITY) > now, "a busy loop");
    this.effects.push(...effects.map((effect) => ({ now, effect })));
    const pinged = effects.find(({ type }) => type === "ping");
    if (this.answers && pinged?.type === "ping") this.step({ type: "answered", endpoint: pinged.to, rtt: 1 }, now);
  }

  /** Fires every timer up to and at `end`. */
  until(end: Millis): void {
    for (let dueAt = pathWakeAt(this.peer); dueAt !== undefined && dueAt <= end; dueAt = pathWakeAt(this.peer))
      this.step({ type: "timer" }, Math.max(dueAt, this.now));
    this.now = Math.max(this.now, end);
  }
}
