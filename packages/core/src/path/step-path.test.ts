import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import type { Millis } from "../time/millis.ts";
import { type Candidate, MAX_ENDPOINTS_TRIED, MAX_RELAYS_TRIED, relayed } from "./candidate.ts";
import { at, BY_R, BY_S, direct1, formatEffect, KNOWN, PathRun, Q, R, randomEvent, relayedByR, S, T, X, Y, Z } from "./path-run-fixture.ts";
import {
  NEW_PATH,
  type PathEvent,
  type PathState,
  type PeerPath,
  PINGS_BEFORE_SUSPECT,
  pathWakeAt,
  ROUND_FOR,
  SILENCE_BEFORE_PING,
} from "./path-state.ts";
import { stepPath } from "./step-path.ts";

const states = {
  dormant: { name: "dormant", last: undefined, isLapsed: true, heardAt: 0, sinceAt: T },
  probing: {
    name: "probing",
    round: { kind: "opening", sinceAt: T, step: 1 },
    failures: 0,
    failedAt: undefined,
    tentative: [BY_R],
  },
  relayed: relayedByR,
  direct: direct1,
  suspect: { name: "suspect", path: { candidate: X, rtt: 20, measuredAt: T }, heardAt: T - 2_000, sinceAt: T, step: 1 },
  failed: { name: "failed", failedAt: T - 9_000, triedAt: T - 5_000, retryAt: T + 5_000, failures: 2 },
  stopped: { name: "stopped" },
} satisfies Readonly<Record<PathState["name"], PathState>>;

const answeredAt = (candidate: Candidate, rtt: Millis): PathEvent => ({ type: "answered", candidate, rtt });
const heardFrom = (from: Candidate): PathEvent => ({ type: "heard", from });
const offer = (isAnswer: boolean): PathEvent => ({ type: "offered", from: BY_R, own: [], reflexive: [at(3)], isAnswer });
const trafficAt = (stamp: Millis): PathEvent => ({
  type: "traffic",
  dataSentAt: stamp,
  dataReceivedAt: stamp,
  authenticatedReceivedAt: stamp,
});
const networkChanged: PathEvent = { type: "network-changed", retryAt: T + 50 };
const published = (...lasts: readonly number[]): PathEvent => ({
  type: "published",
  own: [],
  reflexive: lasts.map(at),
  isKept: false,
  isReachable: false,
});
const relays = (...relays: readonly (typeof R)[]): PathEvent => ({ type: "relays", relays, isRelayable: true });

/** One event at T: the state after it and what it does. */
function step(state: PathState, event: PathEvent, peer: PeerPath = KNOWN): readonly [state: string, ...effects: string[]] {
  const { peer: after, effects } = stepPath({ ...peer, state }, event, T);
  return [after.state.name, ...effects.map(formatEffect)];
}

const OPENING = ["discover 1 ttl 4", "discover 2 ttl 4", "offer by r"];
const PROBE = ["use by r", ...OPENING, "discover by r"];
const PUNCH = ["discover 3", "discover 1", "discover 2"];
const ALL = ["discover 1", "discover 2", "discover by r", "offer by r"];
// Row by row as in the table above PathState.
const table: Readonly<Record<PathState["name"], Readonly<Record<string, readonly [PathEvent, readonly string[]]>>>> = {
  dormant: {
    wanted: [{ type: "wanted" }, ["probing", ...PROBE]],
    "answered straight": [answeredAt(X, 30), ["direct", "use 1"]],
    "answered by a relay": [answeredAt(BY_R, 30), ["relayed", "use by r", ...OPENING]],
    "heard from elsewhere": [
      heardFrom(Z),
      ["probing", "use by r", "discover 1 ttl 4", "discover 2 ttl 4", "discover 3 ttl 4", "offer by r", "discover by r", "triggered 3"],
    ],
    "offered by the peer": [offer(false), ["probing", "use by r", "answer by r", ...PUNCH, "discover by r"]],
    "an answer to an offer": [offer(true), ["dormant"]],
    doubted: [{ type: "doubted" }, ["probing", ...PROBE]],
    "traffic from before": [trafficAt(T), ["dormant"]],
    traffic: [trafficAt(T + 1), ["probing", ...PROBE]],
    timer: [{ type: "timer" }, ["dormant"]],
    "new endpoints": [published(3), ["dormant"]],
    "new relays": [relays(S), ["dormant"]],
    "to be kept alive": [{ type: "keepalive", every: 20_000 }, ["probing", ...PROBE]],
    "own network changed": [networkChanged, ["dormant"]],
  },
  probing: {
    wanted: [{ type: "wanted" }, ["probing"]],
    "answered straight": [answeredAt(X, 30), ["direct", "use 1"]],
    "answered by a relay: the round goes on": [answeredAt(BY_R, 30), ["relayed", "use by r"]],
    "heard from elsewhere": [heardFrom(Z), ["probing", "triggered 3"]],
    "offered by the peer": [offer(false), ["probing", "answer by r", ...PUNCH]],
    "an answer to an offer": [offer(true), ["probing", ...PUNCH]],
    doubted: [{ type: "doubted" }, ["probing"]],
    traffic: [trafficAt(T + 1), ["probing"]],
    "timer before its time": [{ type: "timer" }, ["probing"]],
    "new endpoints": [published(1, 3), ["probing", "discover 3 ttl 4"]],
    "another relay": [relays(R, S), ["probing", "discover by s"]],
    "to be kept alive": [{ type: "keepalive", every: 20_000 }, ["probing"]],
    "own network changed": [networkChanged, ["probing"]],
  },
  relayed: {
    wanted: [{ type: "wanted" }, ["relayed"]],
    "answered there": [answeredAt(BY_R, 60), ["relayed"]],
    "answered straight, slower": [answeredAt(X, 900), ["direct", "use 1, by r"]],
    "answered by another relay, faster by less than 20 ms": [answeredAt(BY_S, 40.1), ["relayed"]],
    "answered by another relay, faster by 20 ms": [answeredAt(BY_S, 40), ["relayed", "use by s"]],
    "heard there": [heardFrom(BY_R), ["relayed"]],
    "heard by another relay": [heardFrom(BY_S), ["relayed"]],
    "heard straight": [heardFrom(Z), ["relayed", "triggered 3"]],
    "offered by the peer": [offer(false), ["relayed", "answer by r", ...PUNCH]],
    "an answer to an offer": [offer(true), ["relayed", ...PUNCH]],
    doubted: [{ type: "doubted" }, ["relayed", "heartbeat by r"]],
    "timer before its time": [{ type: "timer" }, ["relayed"]],
    "new endpoints": [published(1, 3), ["relayed", "discover 3"]],
    "the same relays and another": [relays(S, R), ["relayed"]],
    "its relay is gone, another is there": [
      relays(S),
      ["suspect", "use by r, by s", "discover 1", "discover 2", "discover by s", "offer by s"],
    ],
    "its relay is gone, none is there": [relays(), ["suspect", "discover 1", "discover 2"]],
    "own network changed while it talks": [networkChanged, ["suspect", ...ALL]],
  },
  direct: {
    wanted: [{ type: "wanted" }, ["direct"]],
    "answered there": [answeredAt(X, 30), ["direct"]],
    "answered elsewhere, slower": [answeredAt(Y, 40), ["direct"]],
    "answered elsewhere, faster by less than 5 ms": [answeredAt(Y, 15.1), ["direct"]],
    "answered elsewhere, faster by 5 ms": [answeredAt(Y, 15), ["direct", "use 2"]],
    "answered by a relay, faster": [answeredAt(BY_R, 1), ["direct"]],
    "heard there": [heardFrom(X), ["direct"]],
    "heard from elsewhere": [heardFrom(Z), ["direct", "heartbeat 1", "triggered 3"]],
    "heard by a relay": [heardFrom(BY_R), ["direct"]],
    "offered by the peer": [offer(false), ["direct", "answer by r", ...PUNCH, "heartbeat 1"]],
    "an answer to an offer": [offer(true), ["direct"]],
    doubted: [{ type: "doubted" }, ["direct", "heartbeat 1"]],
    "timer before its time": [{ type: "timer" }, ["direct"]],
    "new endpoints": [published(3), ["direct"]],
    "no relays": [relays(), ["direct"]],
    "own network changed while it talks": [networkChanged, ["suspect", "use 1, by r", ...ALL]],
  },
  suspect: {
    wanted: [{ type: "wanted" }, ["suspect"]],
    "answered there": [answeredAt(X, 30), ["direct", "use 1"]],
    "answered elsewhere": [answeredAt(Z, 900), ["direct", "use 3"]],
    "answered by a relay": [answeredAt(BY_R, 30), ["relayed", "use by r", ...OPENING]],
    "heard there": [heardFrom(X), ["suspect", "triggered 1"]],
    "heard by a relay": [heardFrom(BY_R), ["suspect", "triggered by r"]],
    "offered by the peer": [offer(false), ["suspect", "answer by r", ...PUNCH]],
    "an answer to an offer": [offer(true), ["suspect", ...PUNCH]],
    doubted: [{ type: "doubted" }, ["suspect"]],
    "timer before its time": [{ type: "timer" }, ["suspect"]],
    "new endpoints": [published(3), ["suspect", "discover 3"]],
    "own network changed": [networkChanged, ["suspect"]],
  },
  failed: {
    "wanted 5 s after the last try": [{ type: "wanted" }, ["probing", ...PROBE]],
    "answered straight": [answeredAt(X, 30), ["direct", "use 1"]],
    "answered by a relay": [answeredAt(BY_R, 30), ["relayed", "use by r", ...OPENING]],
    "heard there": [heardFrom(X), ["probing", ...PROBE, "triggered 1"]],
    "offered by the peer": [offer(false), ["probing", "use by r", "answer by r", ...PUNCH, "discover by r"]],
    "an answer to an offer": [offer(true), ["failed"]],
    doubted: [{ type: "doubted" }, ["failed"]],
    "traffic of the peer": [trafficAt(T), ["probing", ...PROBE]],
    "traffic from before the last try": [trafficAt(T - 5_000), ["failed"]],
    "timer before its time": [{ type: "timer" }, ["failed"]],
    "new endpoints": [published(3), ["probing", "use by r", "discover 3 ttl 4", "offer by r", "discover by r"]],
    "endpoints it had": [published(2), ["failed"]],
    "another relay": [relays(R, S), ["probing", ...PROBE, "discover by s"]],
    "a relay less": [relays(), ["failed"]],
    "own network changed": [networkChanged, ["failed"]],
  },
  stopped: {
    wanted: [{ type: "wanted" }, ["stopped"]],
    "answered straight": [answeredAt(X, 30), ["direct", "use 1"]],
    "heard from elsewhere": [
      heardFrom(Z),
      ["probing", "use by r", "discover 1 ttl 4", "discover 2 ttl 4", "discover 3 ttl 4", "offer by r", "discover by r", "triggered 3"],
    ],
    "offered by the peer": [offer(false), ["probing", "use by r", "answer by r", ...PUNCH, "discover by r"]],
    "an answer to an offer": [offer(true), ["stopped"]],
    doubted: [{ type: "doubted" }, ["stopped"]],
    traffic: [trafficAt(T + 1), ["stopped"]],
    timer: [{ type: "timer" }, ["stopped"]],
    "new endpoints": [published(3), ["dormant"]],
    "new relays": [relays(S), ["stopped"]],
    "own network changed": [networkChanged, ["stopped"]],
  },
};
for (const [name, rows] of Object.entries(table) as [PathState["name"], (typeof table)["direct"]][]) {
  for (const [what, [event, wanted]] of Object.entries(rows))
    test(`${name}, ${what}: ${wanted.join("; ")}`, () => assert.deepEqual(step(states[name], event), wanted));
}

test("a goodbye ends whatever was going on: nothing is tried, and old addresses and relays are forgotten", () => {
  for (const state of Object.values(states)) {
    const { peer, effects } = stepPath({ ...KNOWN, isReachable: true, keepalive: 20_000, state }, { type: "stopped" }, T);
    assert.deepEqual({ ...peer, isReachable: false }, { ...NEW_PATH, state: { name: "stopped" } }, state.name);
    assert.deepEqual(effects, []);
    assert.equal(pathWakeAt(peer), undefined);
  }
});

test("packets that wait for a session to a silent peer make its path suspect as those that are sent do", () => {
  let peer: PeerPath = { ...KNOWN, state: direct1 };
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
  assert.deepEqual(step({ ...direct1, asked: 1, askedAt: T }, heardFrom(Z)), ["direct", "triggered 3"]);
});

test("when our own network changed, a failed path is tried soon, and no later than it would have been; so is a straight one beside a relay", () => {
  const idle: PathState = {
    ...relayedByR,
    activeAt: T - 60_000,
    heardAt: T - 1,
    search: { name: "waiting", retryAt: T + 60_000, failures: 5 },
  };
  const after = (state: PathState, retryAt: Millis): PeerPath =>
    stepPath({ ...KNOWN, state }, { type: "network-changed", retryAt }, T).peer;
  assert.equal(pathWakeAt(after(states.failed, T + 50)), T + 50);
  assert.equal(pathWakeAt(after(states.failed, T + 60_000)), states.failed.retryAt);
  const { state } = after(idle, T + 50);
  assert.ok(state.name === "relayed");
  assert.deepEqual(state.search, { name: "waiting", retryAt: T + 50, failures: 0 });
});

test("when our own network changed, a path that is not talked on, or that no relay stands in for, is asked and not doubted", () => {
  assert.deepEqual(step({ ...direct1, activeAt: T - 45_000 }, networkChanged), ["direct", "heartbeat 1"]);
  assert.deepEqual(step(direct1, networkChanged, { ...KNOWN, relays: [] }), ["direct", "heartbeat 1"]);
});

test("a path that is being asked gives way to any of its kind that answers, and a straight one not to a relay", () => {
  assert.deepEqual(step({ ...direct1, asked: 1, askedAt: T }, answeredAt(Y, 500)), ["direct", "use 2"]);
  assert.deepEqual(step({ ...direct1, asked: 1, askedAt: T }, answeredAt(BY_R, 5)), ["direct"]);
  assert.deepEqual(step({ ...relayedByR, asked: 1, askedAt: T }, answeredAt(BY_S, 500)), ["relayed", "use by s"]);
});

test("a better relay is better by 20 ms and by 20 %", () => {
  const of = (rtt: Millis, other: Millis): string =>
    step({ ...relayedByR, path: { candidate: BY_R, rtt, measuredAt: T } }, answeredAt(BY_S, other)).join();
  assert.deepEqual([of(50, 30.1), of(50, 30)], ["relayed", "relayed,use by s"]);
  assert.deepEqual([of(200, 160.1), of(200, 160)], ["relayed", "relayed,use by s"]);
});

test("PINGs of a slow path are two round trips apart", () => {
  for (const state of [direct1, relayedByR]) {
    const asked = (rtt: Millis): Millis | undefined =>
      pathWakeAt({ ...KNOWN, state: { ...state, asked: 1, askedAt: T, path: { ...state.path, rtt } } });
    assert.deepEqual([asked(400), asked(1)], [T + 800, T + 150]);
  }
});

test("round trips are smoothed by an eighth", () => {
  for (const state of [direct1, relayedByR]) {
    const { rtt, candidate } = state.path;
    const { state: after } = stepPath({ ...KNOWN, state }, answeredAt(candidate, rtt + 80), T).peer;
    assert.ok((after.name === "direct" || after.name === "relayed") && after.path.rtt === rtt + 10);
  }
});

test("endpoints are bounded, the path in use is kept, and where the peer was heard is added last", () => {
  const many = Array.from({ length: 40 }, (_, i) => 100 + i);
  const claimed = stepPath({ ...KNOWN, state: direct1 }, published(...many), T).peer;
  assert.deepEqual([claimed.endpoints.length, claimed.endpoints.at(-1)], [MAX_ENDPOINTS_TRIED, at(1)]);
  const heard = stepPath(claimed, heardFrom(Z), T).peer;
  assert.deepEqual([heard.endpoints.length, heard.endpoints.at(-1)], [MAX_ENDPOINTS_TRIED, at(3)]);
  const offered = stepPath(heard, { type: "offered", from: BY_R, own: [], reflexive: many.slice(20, 32).map(at), isAnswer: false }, T).peer;
  assert.deepEqual([offered.endpoints.length, offered.endpoints[0]], [MAX_ENDPOINTS_TRIED, at(120)]);
  const probing = stepPath({ ...KNOWN, state: states.probing }, published(...many), T);
  assert.equal(probing.effects.length, MAX_ENDPOINTS_TRIED);
});

test("the many own addresses of a peer's host do not push out where its NAT lets others in", () => {
  const own = Array.from({ length: 16 }, (_, i) => at(100 + i));
  const { endpoints } = stepPath(KNOWN, { type: "published", own, reflexive: [at(7), at(8)], isReachable: false, isKept: false }, T).peer;
  assert.deepEqual(endpoints, [...own.slice(0, 14), at(7), at(8)]);
});

test("relays are bounded, best first, and one by which the peer came is one that reaches it", () => {
  const four = [R, S, Q, "p".repeat(64) as typeof R];
  const told = stepPath({ ...KNOWN, state: direct1 }, relays(...four), T).peer;
  assert.deepEqual(told.relays, four.slice(0, MAX_RELAYS_TRIED));
  const heard = stepPath(told, heardFrom(relayed(four[3] ?? R)), T).peer;
  assert.deepEqual(heard.relays, [R, S, four[3]]);
  assert.deepEqual(stepPath(heard, heardFrom(BY_S), T).peer.relays, heard.relays);
});

for (const [kind, state] of [
  ["direct", direct1],
  ["relayed", relayedByR],
] as const) {
  for (let seed = 1; seed <= 50; seed++) {
    test(`seed ${seed}: an active ${kind} peer that falls silent is suspect within 2 s of its last word`, () => {
      const random = new SeededRandom(seed);
      const rtt = random.below(100);
      const lastWordAt = T + random.below(5_000) + random.next();
      const sendInterval = 1 + random.below(250);
      const run = new PathRun({ ...KNOWN, state: { ...state, path: { ...state.path, rtt } } });
      const phase = random.below(250) + random.next();
      for (let readAt = T + phase; readAt < lastWordAt + 4_000; readAt += 250) {
        run.until(readAt);
        if (run.peer.state.name === "suspect" || run.peer.state.name === "failed") break;
        const dataSentAt = T + Math.floor((readAt - T) / sendInterval) * sendInterval;
        const heardAt = Math.min(readAt, lastWordAt);
        run.step({ type: "traffic", dataSentAt, dataReceivedAt: heardAt, authenticatedReceivedAt: heardAt }, readAt);
      }
      run.until(lastWordAt + 4_000);
      const suspectAt = run.enteredAt.get("suspect") ?? assert.fail("never suspect");
      assert.ok(suspectAt > lastWordAt && suspectAt <= lastWordAt + 2_000, `suspect ${suspectAt - lastWordAt} ms after the last word`);
    });
  }
}

test("a peer that answers with data alone is never asked", () => {
  const run = new PathRun({ ...KNOWN, state: { ...direct1, path: { ...direct1.path, measuredAt: T + 60_000 } } });
  run.talkUntil(T + 60_000);
  assert.deepEqual(run.take(), []);
});

test("while data flows both ways one PING in 25 s measures the round trip", () => {
  for (const isAnswering of [true, false]) {
    const run = new PathRun({ ...KNOWN, state: direct1 });
    run.answers = () => isAnswering;
    run.talkUntil(T + 60_000);
    assert.deepEqual(run.take(), ["25000 heartbeat 1", "50000 heartbeat 1"], "PONGs that get lost are no reason for more");
  }
});

for (let seed = 1; seed <= 40; seed++) {
  test(`seed ${seed}: in 2,000 random events no timer leaves a wake-up that is due, what is known stays bounded, and whatever happened, an answer makes it direct`, () => {
    const random = new SeededRandom(seed);
    const run = new PathRun(NEW_PATH);
    let now = T;
    for (let i = 0; i < 2_000; i++) {
      now += random.below(4) === 0 ? random.below(60_000) : random.below(400);
      run.step(random.below(3) === 0 ? { type: "timer" } : randomEvent(random, now), now);
      const { endpoints, relays, state } = run.peer;
      assert.ok(endpoints.length <= MAX_ENDPOINTS_TRIED && relays.length <= MAX_RELAYS_TRIED);
      if (state.name === "direct") assert.equal(state.path.candidate.type, "direct");
      if (state.name === "relayed")
        assert.ok(state.path.candidate.type === "relay" && state.search !== undefined, "nobody looks for a straight path");
    }
    run.step(published(1, 2), now);
    run.step({ type: "wanted" }, now);
    run.answers = (to) => to.type === "direct";
    run.talkUntil(now + 300_000 + ROUND_FOR, () => run.peer.state.name === "direct");
    assert.equal(run.peer.state.name, "direct");
  });
}

test("the random events come to every state, round and search", () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed);
    const run = new PathRun(NEW_PATH);
    let now = T;
    for (let i = 0; i < 500; i++) {
      now += random.below(400);
      run.step(random.below(3) === 0 ? { type: "timer" } : randomEvent(random, now), now);
      const { state } = run.peer;
      if (state.name === "probing") seen.add(`probing ${state.round.kind}`);
      else if ((state.name === "relayed" || state.name === "direct") && state.search !== undefined)
        seen.add(`${state.name} ${state.search.name === "round" ? state.search.round.kind : "waiting"}`);
      else seen.add(state.name);
    }
  }
  const rounds = ["knocking", "opening", "punching"];
  const wanted = ["dormant", "direct", "suspect", "failed", "stopped", "relayed waiting", "direct punching"];
  for (const one of [...wanted, ...rounds.flatMap((kind) => [`probing ${kind}`, `relayed ${kind}`])]) assert.ok(seen.has(one), one);
});

test("asking is bounded: two PINGs of a silent path, then it is doubted", () => {
  const run = new PathRun({ ...KNOWN, state: { ...direct1, unansweredAt: T } });
  run.until(T + SILENCE_BEFORE_PING + 3 * 150);
  assert.deepEqual(
    run.take().filter((text) => text.endsWith("heartbeat 1")),
    [0, 150, 300].slice(0, PINGS_BEFORE_SUSPECT).map((after) => `${SILENCE_BEFORE_PING + after} heartbeat 1`),
  );
  assert.equal(run.peer.state.name, "suspect");
});
