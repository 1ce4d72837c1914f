import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Millis } from "../time/millis.ts";
import { at, BY_R, BY_S, direct1, KNOWN, PathRun, R, relayedByR, S, T, X, Z } from "./path-run-fixture.ts";
import {
  NEW_PATH,
  type PathEvent,
  type PathState,
  type PeerPath,
  PINGS_BEFORE_SUSPECT,
  pathWakeAt,
  ROUND_FOR,
  SUSPECT_FOR,
} from "./path-state.ts";
import { stepPath } from "./step-path.ts";

const RETRIES = [5, 10, 20, 40, 60, 300, 300, 300].map((s) => s * 1_000);
const PUNCHING = [0, 20, 50, 100, 200, 300, 500, 800, 1_500];
const one: PeerPath = { ...NEW_PATH, endpoints: [at(1)], relays: [R] };
const offer = (isAnswer: boolean): PathEvent => ({ type: "offered", from: BY_R, own: [], reflexive: [at(1)], isAnswer });

/** The peer's path after someone wanted it. */
function wanted(peer: PeerPath): PathRun {
  const run = new PathRun(peer);
  run.step({ type: "wanted" }, T);
  return run;
}

const timesOf = (told: readonly string[], what: string): readonly number[] =>
  told.filter((text) => text.endsWith(` ${what}`)).map((text) => Number.parseInt(text, 10));

describe("a round", () => {
  test("where nobody can ask the peer to help its endpoints are knocked at as they are, at 0, 100, 300, 700 and 1,500 ms", () => {
    for (const peer of [
      { ...one, relays: [] },
      { ...one, isReachable: true },
    ]) {
      const run = wanted(peer);
      run.until(T + ROUND_FOR);
      assert.deepEqual(timesOf(run.take(), "discover 1"), [0, 100, 300, 700, 1_500]);
      assert.equal(run.peer.state.name, "failed");
    }
  });

  test("behind a NAT, PINGs of four hops open ours first, with an offer; after 400 ms the peer is taken to have it, and both punch", () => {
    const run = wanted(one);
    run.until(T + 400 + ROUND_FOR);
    const told = run.take();
    assert.deepEqual(timesOf(told, "discover 1 ttl 4"), [0, 20, 50]);
    assert.deepEqual(timesOf(told, "offer by r"), [0, 400]);
    assert.deepEqual(
      timesOf(told, "discover 1"),
      PUNCHING.map((after) => 400 + after),
    );
    assert.deepEqual(run.peer.state, { name: "failed", failedAt: T + 400, triedAt: T + 2_900, retryAt: T + 7_900, failures: 1 });
  });

  for (const [what, event, answers] of [
    ["an answer to the offer", offer(true), 0],
    ["an offer", offer(false), 1],
    ["a PING from there", { type: "heard", from: X }, 0],
  ] as const) {
    test(`${what} ends the opening at once`, () => {
      const run = wanted(one);
      run.until(T + 30);
      run.take();
      run.step(event, T + 30);
      run.until(T + 30 + ROUND_FOR);
      const told = run.take();
      assert.deepEqual(timesOf(told, "discover 1 ttl 4"), []);
      assert.deepEqual(timesOf(told, "answer by r").length, answers);
      const first = event.type === "heard" ? "triggered 1" : "discover 1";
      assert.deepEqual(
        [...timesOf(told, first).slice(0, 1), ...timesOf(told, "discover 1").filter((time) => time > 30)],
        PUNCHING.map((after) => 30 + after),
      );
      assert.equal(run.peer.state.name, "failed");
    });
  }

  test("a PING by a relay does not: it says nothing of NATs", () => {
    const run = wanted(one);
    run.step({ type: "heard", from: BY_S }, T + 10);
    const { state } = run.peer;
    assert.ok(state.name === "probing" && state.round.kind === "opening");
    assert.deepEqual(run.take().at(-1), "10 triggered by s");
  });

  test("a peer that others reach unasked is knocked at; where that failed, and it is wanted again, its help is asked for all the same", () => {
    const run = wanted({ ...one, isReachable: true });
    run.until(T + ROUND_FOR + 5_000);
    assert.deepEqual(timesOf(run.take(), "discover 1").at(-1), 7_500, "a glance");
    run.step({ type: "wanted" }, T + ROUND_FOR + 5_000);
    const told = run.take();
    assert.deepEqual(timesOf(told, "offer by r"), [7_500]);
    assert.deepEqual(timesOf(told, "discover 1 ttl 4"), [7_500]);
  });

  test("after a stall it goes on with the next line and makes up for none", () => {
    const state: PathState = {
      name: "probing",
      round: { kind: "knocking", sinceAt: T, step: 1 },
      failures: 0,
      failedAt: undefined,
      tentative: [],
    };
    const { peer, effects } = stepPath({ ...KNOWN, relays: [], state }, { type: "timer" }, T + 1_000);
    assert.equal(effects.length, KNOWN.endpoints.length);
    assert.equal(pathWakeAt(peer), T + 1_500);
  });

  test("a failed peer is tried again after 5, 10, 20, 40, 60 s and every 5 min, and failed counts from the first round", () => {
    for (const peer of [one, { ...one, relays: [] }]) {
      const run = wanted(peer);
      for (const wait of RETRIES) {
        while (run.peer.state.name === "probing") run.until(pathWakeAt(run.peer) ?? assert.fail());
        const { state } = run.peer;
        assert.ok(state.name === "failed");
        assert.deepEqual([state.retryAt - state.triedAt, state.failedAt], [wait, peer.relays.length === 0 ? T : T + 400]);
        run.until(state.retryAt);
        assert.equal(run.peer.state.name, "probing");
      }
    }
  });

  test("failed is counted from the first doubt, too, through all retries", () => {
    const run = new PathRun({ ...KNOWN, state: { name: "suspect", path: direct1.path, heardAt: T - 2_000, sinceAt: T - 100, step: 1 } });
    run.until(T + 30_000);
    const { state } = run.peer;
    assert.ok((state.name === "failed" || state.name === "probing") && state.failedAt === T - 100);
  });

  test("when a failed peer answers again it is direct within the retry interval", () => {
    for (const deadFor of [3_000, 10_000, 60_000, 1_000_000]) {
      const run = wanted(KNOWN);
      run.until(T + deadFor);
      run.answers = (to) => to.type === "direct";
      const roundEndsAt = run.now + 400 + ROUND_FOR;
      while (run.peer.state.name === "probing") run.until(pathWakeAt(run.peer) ?? assert.fail());
      const { state } = run.peer;
      run.until(state.name === "failed" ? state.retryAt + 400 : roundEndsAt);
      assert.equal(run.peer.state.name, "direct", `dead for ${deadFor}`);
    }
  });
});

describe("a suspect path", () => {
  test("is used still, a relay besides; all are asked at once and at 100, 300 and 700 ms, and it is given up after 1.5 s", () => {
    const run = new PathRun({ ...one, state: { ...direct1, asked: PINGS_BEFORE_SUSPECT, askedAt: T - 150 } });
    run.until(T + SUSPECT_FOR);
    const told = run.take();
    assert.equal(told[0], "0 use 1, by r");
    for (const what of ["discover 1", "discover by r", "offer by r"]) assert.deepEqual(timesOf(told, what), [0, 100, 300, 700], what);
    assert.equal(told.length, 13);
    assert.equal(run.peer.state.name, "failed");
  });

  test("a relay's is used beside another relay, not beside itself", () => {
    const asked: PathState = { ...relayedByR, asked: PINGS_BEFORE_SUSPECT, askedAt: T - 150 };
    const used = (relays: PeerPath["relays"]): string | undefined => {
      const run = new PathRun({ ...one, relays, state: asked });
      run.until(T);
      return run.take().find((text) => text.includes("use"));
    };
    assert.equal(used([R, S]), "0 use by r, by s");
    assert.equal(used([R]), undefined);
  });

  test("is relayed as soon as the relay answers, and straight again as soon as an endpoint does", () => {
    const run = new PathRun({ ...one, state: { ...direct1, asked: PINGS_BEFORE_SUSPECT, askedAt: T - 150 } });
    run.until(T + 50);
    run.step({ type: "answered", candidate: BY_R, rtt: 50 }, T + 50);
    assert.equal(run.peer.state.name, "relayed");
    run.step({ type: "answered", candidate: X, rtt: 50 }, T + 500);
    assert.deepEqual([run.peer.state.name, run.take().at(-1)], ["direct", "500 use 1, by r"]);
  });
});

describe("beside a relay", () => {
  /** A relay carries the packets; the endpoints are silent. */
  function relayedRun(): PathRun {
    const run = wanted(one);
    run.answers = (to) => to.type === "relay";
    run.step({ type: "answered", candidate: BY_R, rtt: 50 }, T);
    run.take();
    return run;
  }

  test("a straight path is looked for in the round that is under way, then after 5, 10, 20, 40, 60 s and every 5 min while it is talked", () => {
    const run = relayedRun();
    run.talkUntil(T + 1_500_000);
    const starts = timesOf(run.take(), "offer by r").filter((time, i, all) => i === 0 || time - (all[i - 1] ?? 0) > 400);
    const expected: number[] = [];
    let endsAt = 400 + ROUND_FOR;
    for (const wait of [...RETRIES, 300_000]) {
      expected.push(endsAt + wait);
      endsAt += wait + 400 + ROUND_FOR;
    }
    assert.deepEqual(starts.slice(0, 1), [400], "the first round goes on where it was");
    assert.deepEqual(
      starts.slice(1),
      expected.filter((time) => time < 1_500_000),
    );
    assert.equal(run.peer.state.name, "relayed");
  });

  test("the first straight answer takes over and ends the search, and while it is well no relay takes over, however fast", () => {
    const run = relayedRun();
    run.step({ type: "answered", candidate: X, rtt: 300 }, T + 100);
    assert.deepEqual(run.take(), ["100 use 1, by r"], "what is on its way by the relay arrives, too");
    run.answers = () => true;
    run.talkUntil(T + 20_000);
    assert.deepEqual(run.take()[0], "1100 use 1");
    for (const [candidate, rtt] of [
      [BY_R, 1],
      [BY_S, 0],
    ] as const)
      run.step({ type: "answered", candidate, rtt }, T + 20_000);
    const { state } = run.peer;
    assert.ok(state.name === "direct" && state.search === undefined);
    assert.deepEqual(run.take(), []);
  });

  test("a PING from an endpoint starts a round of both at once; those of another relay mean nothing", () => {
    const run = new PathRun({ ...KNOWN, state: relayedByR });
    run.step({ type: "heard", from: BY_S }, T);
    assert.deepEqual(run.take(), []);
    run.step({ type: "heard", from: Z }, T + 10);
    run.until(T + 30);
    assert.deepEqual(run.take(), ["10 triggered 3", "30 discover 1", "30 discover 2", "30 discover 3"]);
  });

  test("without user data the search ends with the path: asleep, it costs nothing", () => {
    const run = relayedRun();
    run.until(T + 3_600_000);
    assert.equal(run.peer.state.name, "dormant");
    assert.ok(run.enteredAt.get("dormant") === T + 12_000, `${run.enteredAt.get("dormant")}`);
    assert.equal(pathWakeAt(run.peer), undefined);
  });

  test("a relay that is lost makes it suspect at once, and another carries the packets beside", () => {
    const run = new PathRun({ ...one, relays: [R, S], state: relayedByR });
    run.step({ type: "relays", relays: [S], isRelayable: true }, T);
    assert.equal(run.take()[0], "0 use by r, by s");
    run.step({ type: "answered", candidate: BY_S, rtt: 80 }, T + 80);
    assert.deepEqual([run.peer.state.name, run.take()[0]], ["relayed", "80 use by s"]);
  });
});

describe("what packets try before anything is proven", () => {
  const asleep = (last: typeof direct1.path | undefined): PathState => ({
    name: "dormant",
    last,
    isLapsed: false,
    heardAt: T - 20_000,
    sinceAt: T - 1_000,
  });
  const byR = { candidate: BY_R, rtt: 60, measuredAt: T };
  for (const [what, peer, expected] of [
    ["nothing is known", { ...one, relays: [], state: asleep(undefined) }, undefined],
    ["the first relay", { ...one, relays: [R, S], state: asleep(undefined) }, "0 use by r"],
    ["the last path, and the first relay", { ...one, relays: [R, S], state: asleep(direct1.path) }, "0 use 1, by r"],
    ["the last path alone, where anyone is let in", { ...one, isReachable: true, state: asleep(direct1.path) }, "0 use 1"],
    ["the last path alone, where no relay is", { ...one, relays: [], state: asleep(direct1.path) }, "0 use 1"],
    ["the last relay, and the best one", { ...one, relays: [S, R], state: asleep(byR) }, "0 use by r, by s"],
    ["the last relay, which is the best one", { ...one, relays: [R, S], state: asleep(byR) }, "0 use by r"],
    ["the best relay, where the last is none any more", { ...one, relays: [S], state: asleep(byR) }, "0 use by s"],
  ] as const satisfies readonly (readonly [string, PeerPath, string | undefined])[]) {
    test(what, () => {
      const run = wanted(peer);
      const told = run.take();
      assert.deepEqual(
        told.filter((text) => text.includes("use")),
        expected === undefined ? [] : [expected],
      );
      if (expected !== undefined) assert.equal(told[0], expected, "before the first PING");
    });
  }

  test("the first relay that comes while it is looked for: what waits leaves by it, and the peer is asked to help", () => {
    const run = wanted({ ...one, relays: [] });
    run.take();
    run.step({ type: "relays", relays: [R], isRelayable: true }, T + 150);
    assert.deepEqual(run.take(), ["150 use by r", "150 discover 1 ttl 4", "150 offer by r", "150 discover by r"]);
  });

  test("the path goes to sleep by itself: 12 s after the last proof and 45 s after the last user data", () => {
    const sleptAt = (heardAt: Millis, activeAt: Millis): Millis | undefined => {
      const run = new PathRun({ ...one, state: { ...direct1, heardAt, activeAt } });
      run.answers = (to) => to.type === "direct";
      run.until(T + 200_000);
      return run.enteredAt.get("dormant");
    };
    assert.equal(sleptAt(T, Number.NEGATIVE_INFINITY), T + 12_000);
    assert.equal(sleptAt(T, T), T + 40_000 + 12_000, "after the last heartbeat");
    assert.equal(sleptAt(T, T - 44_000), T + 12_000);
  });

  test("asleep, the next packets take the last path and a relay, unless anyone is let in there; the engine is told then, and again when relays change", () => {
    const idle: PathState = { ...direct1, activeAt: Number.NEGATIVE_INFINITY };
    const run = new PathRun({ ...one, state: idle });
    run.until(T + 60_000);
    assert.deepEqual(run.take(), ["12000 use 1, by r", "30000 use by r"]);
    run.step({ type: "relays", relays: [R, S], isRelayable: true }, T + 60_000);
    assert.deepEqual(run.take(), [], "the best is the same");
    run.step({ type: "relays", relays: [S], isRelayable: true }, T + 61_000);
    run.step({ type: "relays", relays: [], isRelayable: false }, T + 62_000);
    assert.deepEqual(run.take(), ["61000 use by s", "62000 use 1"]);
    const reachable = new PathRun({ ...one, isReachable: true, state: idle });
    reachable.until(T + 60_000);
    reachable.step({ type: "relays", relays: [S], isRelayable: true }, T + 60_000);
    assert.deepEqual([reachable.peer.state.name, reachable.take()], ["dormant", []]);
  });

  test("the peer's keepalive brings the last path back for the next packets, and for those that are relayed to it", () => {
    const idle: PathState = { ...direct1, activeAt: Number.NEGATIVE_INFINITY };
    const run = new PathRun({ ...one, state: idle });
    run.until(T + 31_000);
    run.take();
    run.step({ type: "heard", from: X }, T + 31_000);
    run.until(T + 60_000);
    assert.deepEqual(run.take(), ["31000 use 1, by r", "49000 use by r"]);
  });

  test("a keepalive from elsewhere is asked there and nowhere else; a whole round follows when that is in vain", () => {
    const moved = (): PathRun => {
      const run = new PathRun({ ...one, state: asleep(direct1.path) });
      run.step({ type: "heard", from: Z, isKeepalive: true }, T);
      return run;
    };
    const answered = moved();
    answered.step({ type: "answered", candidate: Z, rtt: 20 }, T + 20);
    assert.deepEqual(answered.take(), ["0 triggered 3", "20 use 3"]);

    const inVain = moved();
    inVain.until(T + 999);
    assert.deepEqual(inVain.take(), ["0 triggered 3", "100 triggered 3", "300 triggered 3", "700 triggered 3"]);
    inVain.until(T + 1_000);
    assert.deepEqual(inVain.take(), ["1000 discover 1 ttl 4", "1000 discover 3 ttl 4", "1000 offer by r", "1000 discover by r"]);
  });

  test("who is wanted while a keepalive of its own is asked is looked for everywhere at once", () => {
    const run = new PathRun({ ...one, state: asleep(direct1.path) });
    run.step({ type: "heard", from: Z, isKeepalive: true }, T);
    run.take();
    run.step({ type: "relays", relays: [R, S], isRelayable: true }, T + 5);
    assert.deepEqual(run.take(), [], "relays that come change nothing");
    run.step({ type: "wanted" }, T + 10);
    assert.equal(run.take()[0], "10 use by r");
  });

  test("whose home relay we are stays where it was heard last: what others send it by us has no other way", () => {
    const run = new PathRun({ ...one, isKept: true, state: asleep(direct1.path) });
    run.until(T + 3_600_000);
    assert.deepEqual(run.take(), []);
  });

  test("relays that come and go while it is looked for: one way straight at most, and one by a relay", () => {
    const run = wanted({ ...one, relays: [R], state: asleep(direct1.path) });
    run.step({ type: "relays", relays: [], isRelayable: true }, T + 10);
    run.take();
    run.step({ type: "relays", relays: [S], isRelayable: true }, T + 20);
    assert.equal(run.take()[0], "20 use 1, by s");
  });

  test("traffic wakes it, the peer's keepalive does not", () => {
    const run = new PathRun({ ...one, state: asleep(direct1.path) });
    run.step({ type: "heard", from: X }, T);
    run.step({ type: "traffic", dataSentAt: 0, dataReceivedAt: 0, authenticatedReceivedAt: T }, T);
    const { state } = run.peer;
    assert.ok(state.name === "dormant" && state.heardAt === T);
    assert.deepEqual(run.take(), []);
    run.step({ type: "traffic", dataSentAt: T + 1, dataReceivedAt: 0, authenticatedReceivedAt: T }, T + 1);
    assert.deepEqual([run.peer.state.name, run.take()[0]], ["probing", "1 use 1, by r"]);
  });
});

describe("a path that is kept alive", () => {
  test("is looked for at once, asked as often as was said without user data, and never sleeps", () => {
    const run = new PathRun({ ...one, relays: [] });
    run.answers = () => true;
    run.step({ type: "keepalive", every: 20_000 }, T);
    assert.equal(run.peer.state.name, "direct");
    run.take();
    run.until(T + 3_600_000);
    assert.deepEqual(
      timesOf(run.take(), "heartbeat 1"),
      Array.from({ length: 180 }, (_, i) => (i + 1) * 20_000),
    );
    assert.equal(run.enteredAt.has("dormant"), false);
  });

  test("is asked no less often than any other while there is user data", () => {
    const run = new PathRun({ ...one, keepalive: 20_000, state: direct1 });
    run.answers = () => true;
    run.until(T + 90_000);
    assert.deepEqual(
      timesOf(run.take(), "heartbeat 1"),
      [5, 10, 15, 20, 25, 30, 35, 40, 60, 80].map((s) => s * 1_000),
    );
  });

  test("is suspect when two questions go unanswered, fails, is tried again and again, and is kept up when it is back", () => {
    const run = new PathRun({ ...one, keepalive: 20_000, state: { ...direct1, activeAt: Number.NEGATIVE_INFINITY } });
    run.until(T + 60_000);
    assert.equal(run.enteredAt.get("suspect"), T + 20_000 + 2 * 150);
    run.answers = (to) => to.type === "direct";
    run.until(T + 300_000);
    assert.equal(run.peer.state.name, "direct");
  });

  test("may sleep once it need not be kept any more", () => {
    const run = new PathRun({ ...one, keepalive: 20_000, state: { ...direct1, activeAt: Number.NEGATIVE_INFINITY } });
    run.answers = () => true;
    run.until(T + 70_000);
    run.step({ type: "keepalive", every: undefined }, T + 70_000);
    run.until(T + 90_000);
    assert.equal(run.peer.state.name, "dormant");
  });
});

test("quiet both ways but active: one heartbeat every 5 s, none after 45 s without user data, and then it sleeps", () => {
  const run = new PathRun({ ...KNOWN, isReachable: true, state: direct1 });
  run.answers = () => true;
  run.until(T + 600_000);
  assert.deepEqual(
    run.take(),
    [5, 10, 15, 20, 25, 30, 35, 40].map((s) => `${s}000 heartbeat 1`),
  );
  assert.deepEqual([run.peer.state.name, pathWakeAt(run.peer)], ["dormant", undefined]);
});

test("a peer that nobody sends to costs nothing: no wake-up when dormant, and on a path found but not used one, to sleep", () => {
  assert.equal(pathWakeAt(NEW_PATH), undefined);
  for (const now of [0, 7, 40_000, T]) {
    const found = stepPath(KNOWN, { type: "answered", candidate: X, rtt: 30 }, now).peer;
    assert.equal(pathWakeAt(found), now + 12_000);
    const { peer } = stepPath(found, { type: "timer" }, now + 12_000);
    assert.deepEqual([peer.state.name, pathWakeAt(peer)], ["dormant", now + 30_000]);
    assert.equal(pathWakeAt(stepPath(peer, { type: "timer" }, now + 30_000).peer), undefined);
  }
});

test("a peer that lost a path which is well from here is helped by one round of PINGs, and nothing remains of it", () => {
  const run = new PathRun({ ...one, state: { ...direct1, activeAt: T - 30_000 } });
  run.answers = (to) => to.type === "direct";
  run.step(offer(false), T);
  run.until(T + 10_000);
  const told = run.take();
  assert.deepEqual(timesOf(told, "discover 1"), PUNCHING);
  assert.deepEqual(timesOf(told, "heartbeat 1"), [0, 5_000 + 1_500]);
  const { state } = run.peer;
  assert.ok(state.name === "direct" && state.search === undefined);
});

test("an endpoint that an offer or a record names many times is asked once a line, and takes one place of sixteen", () => {
  const many = [...Array.from({ length: 8 }, () => [at(7), at(8)]).flat(), at(9)];
  const offered = new PathRun(NEW_PATH);
  offered.step({ type: "offered", from: BY_R, own: [at(8)], reflexive: many, isAnswer: false }, T);
  assert.deepEqual(
    offered.take().filter((line) => line.startsWith("0 discover") && !line.includes("by")),
    ["0 discover 7", "0 discover 8", "0 discover 9"],
  );
  const published = new PathRun(NEW_PATH);
  published.step({ type: "published", own: many, reflexive: many, isReachable: true, isKept: false }, T);
  assert.deepEqual(published.peer.endpoints, [at(7), at(8), at(9)]);
});
