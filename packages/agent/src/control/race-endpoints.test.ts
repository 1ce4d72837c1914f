import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Endpoint, Ip } from "@mesh/core/ports";
import { ENDPOINT_TIMEOUT, HEAD_START, raceEndpoints } from "./race-endpoints.ts";
import { SettlingClock, settled } from "./settling-clock-fixture.ts";

/** What happens at each endpoint, by its port: after this time it answers, fails, or (undefined) stays silent. */
type Answers = Readonly<Record<number, { readonly after: number; readonly fails?: boolean } | undefined>>;

interface Run {
  readonly clock: SettlingClock;
  readonly outcome: Promise<number>;
  readonly started: string[];
  readonly aborted: number[];
  readonly discarded: number[];
  readonly stop: AbortController;
}

function run(ports: readonly number[], answers: Answers): Run {
  const clock = new SettlingClock();
  const started: string[] = [];
  const aborted: number[] = [];
  const discarded: number[] = [];
  const stop = new AbortController();
  const dial = ({ port }: Endpoint, signal: AbortSignal): Promise<number> => {
    started.push(`${port} at ${clock.now()}`);
    signal.addEventListener("abort", () => aborted.push(port));
    return new Promise((resolve, reject) => {
      const answer = answers[port];
      if (answer !== undefined)
        clock.at(clock.now() + answer.after, () => (answer.fails === true ? reject(new Error(`no ${port}`)) : resolve(port)));
    });
  };
  const endpoints = ports.map((port) => ({ ip: "192.0.2.1" as Ip, port }));
  const outcome = raceEndpoints(endpoints, { clock, signal: stop.signal, dial, discard: (late) => discarded.push(late) });
  outcome.catch(() => {});
  return { clock, outcome, started, aborted, discarded, stop };
}

describe("race of endpoints", () => {
  it("tries only the first when it answers within its head start", async () => {
    const { clock, outcome, started, aborted } = run([1, 2], { 1: { after: HEAD_START - 1 }, 2: { after: 0 } });
    await clock.advance(1_000);
    assert.equal(await outcome, 1);
    assert.deepEqual(started, ["1 at 0"]);
    assert.deepEqual(aborted, [], "the winner's signal stays quiet: aborting it would destroy its socket");
  });

  it("goes past silent endpoints, one head start each", async () => {
    const { clock, outcome, started, aborted } = run([1, 2, 3], { 3: { after: 10 } });
    await clock.advance(1_000);
    assert.equal(await outcome, 3);
    assert.deepEqual(started, ["1 at 0", "2 at 250", "3 at 500"]);
    assert.deepEqual(aborted, [1, 2]);
  });

  it("goes on at once when an endpoint refuses", async () => {
    const { clock, outcome, started } = run([1, 2], { 1: { after: 5, fails: true }, 2: { after: 5 } });
    await clock.advance(1_000);
    assert.equal(await outcome, 2);
    assert.deepEqual(started, ["1 at 0", "2 at 5"]);
  });

  it("takes back what a loser still finished", async () => {
    const { clock, outcome, discarded } = run([1, 2], { 1: { after: 300 }, 2: { after: 50 } });
    await clock.advance(1_000);
    assert.deepEqual([await outcome, discarded], [1, [2]]);
  });

  it("has one winner when two finish in the same instant", async () => {
    const clock = new SettlingClock();
    const [first, second] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
    const discarded: number[] = [];
    const outcome = raceEndpoints(
      [1, 2].map((port) => ({ ip: "192.0.2.1" as Ip, port })),
      {
        clock,
        signal: new AbortController().signal,
        dial: ({ port }) => (port === 1 ? first.promise : second.promise),
        discard: (late) => discarded.push(late),
      },
    );
    await clock.advance(HEAD_START);
    first.resolve(1);
    second.resolve(2);
    assert.equal(await outcome, 1);
    await settled();
    assert.deepEqual(discarded, [2]);
  });

  it("gives up with what each endpoint said", async () => {
    const { clock, outcome } = run([1, 2], { 1: { after: 5, fails: true } });
    await clock.advance(5 + ENDPOINT_TIMEOUT);
    await assert.rejects(outcome, /no 1; took longer than 5000 ms/);
    assert.equal(clock.pending, 0);
  });

  it("stops when it is told to, and takes back what comes later", async () => {
    const { clock, outcome, stop, aborted, discarded } = run([1, 2], { 1: { after: 100 } });
    await settled();
    stop.abort(new Error("no longer wanted"));
    await assert.rejects(outcome, /no longer wanted/);
    await clock.advance(1_000);
    assert.deepEqual([aborted, discarded, clock.pending], [[1], [1], 0]);
  });

  it("needs an endpoint", async () => {
    await assert.rejects(run([], {}).outcome, /no endpoint/);
  });
});
