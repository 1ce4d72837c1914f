import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type NodeId, nodeId } from "@mesh/core/ports";
import type { SyncOutcome } from "./record-sync.ts";
import { SettlingClock } from "./settling-clock-fixture.ts";
import { MAX_IDLE_REST, MAX_RUNNING, REST_AFTER, ROUND_INTERVAL, SyncRounds } from "./sync-rounds.ts";

const nodes: readonly NodeId[] = Array.from({ length: 10 }, (_, i) => nodeId(new Uint8Array(32).fill(i)));
const done: SyncOutcome = { received: 0, fresh: 0, sent: 0, isPartial: false };

interface Scene {
  readonly rounds: SyncRounds;
  readonly clock: SettlingClock;
  /** Which node, and when. */
  readonly runs: string[];
  readonly failed: string[];
  readonly barred: Set<NodeId>;
  readonly turns: number[];
}
function scene(run: (node: NodeId, signal: AbortSignal) => Promise<SyncOutcome>): Scene {
  const clock = new SettlingClock();
  const runs: string[] = [];
  const failed: string[] = [];
  const barred = new Set<NodeId>();
  const turns: number[] = [];
  const rounds = new SyncRounds({
    clock,
    run: (node, signal) => {
      runs.push(`${nodes.indexOf(node)} at ${clock.now()}`);
      return run(node, signal);
    },
    maySync: (node) => !barred.has(node),
    onFailed: (node, error) => failed.push(`${nodes.indexOf(node)}: ${String(error)}`),
    onTurn: (node) => turns.push(nodes.indexOf(node)),
  });
  return { rounds, clock, runs, failed, barred, turns };
}

function linkAll(rounds: SyncRounds, count: number): void {
  for (const node of nodes.slice(0, count)) rounds.linked(node);
}

describe("sync rounds", () => {
  it("take one neighbour a minute, each in turn", async () => {
    const { rounds, clock, runs } = scene(async () => done);
    linkAll(rounds, 3);
    await clock.advance(4 * ROUND_INTERVAL);
    assert.deepEqual(runs, ["0 at 60000", "1 at 120000", "2 at 180000", "0 at 240000"]);
  });

  it("leave out who was compared with on demand, and who is gone", async () => {
    const { rounds, clock, runs } = scene(async () => done);
    linkAll(rounds, 3);
    const [first, second] = nodes;
    assert.ok(first !== undefined && second !== undefined);
    rounds.syncWith(first);
    rounds.unlinked(second);
    rounds.syncWith(second);
    await clock.advance(ROUND_INTERVAL);
    assert.deepEqual(runs, ["0 at 0", "2 at 60000"]);
  });

  it("run once with a node at a time, and once more when asked meanwhile", async () => {
    const ends: (() => void)[] = [];
    const { rounds, runs, clock } = scene(() => new Promise((resolve) => ends.push(() => resolve(done))));
    linkAll(rounds, 1);
    for (const node of [nodes[0], nodes[0], nodes[0]]) if (node !== undefined) rounds.syncWith(node);
    assert.deepEqual(runs, ["0 at 0"]);
    for (let i = 0; i < ends.length; i++) {
      ends[i]?.();
      await clock.advance(0);
    }
    assert.deepEqual(runs, ["0 at 0", "0 at 0"]);
  });

  it("run a few at a time", async () => {
    const ends: (() => void)[] = [];
    const { rounds, runs, clock } = scene(() => new Promise((resolve) => ends.push(() => resolve(done))));
    linkAll(rounds, 10);
    for (const node of [...nodes, ...nodes]) rounds.syncWith(node);
    assert.equal(runs.length, MAX_RUNNING);
    ends[0]?.();
    await clock.advance(0);
    assert.equal(runs.length, MAX_RUNNING + 1);
    for (let i = 1; i < ends.length; i++) {
      ends[i]?.();
      await clock.advance(0);
    }
    assert.deepEqual(runs.map((line) => line[0]).join(""), "01234567890123".slice(0, runs.length));
  });

  it("go on until everything is handed over, and stop when nothing comes of it", async () => {
    const outcomes: SyncOutcome[] = [
      { received: 9, fresh: 9, sent: 0, isPartial: true },
      { received: 9, fresh: 9, sent: 0, isPartial: true },
      { received: 0, fresh: 0, sent: 0, isPartial: true },
    ];
    const { rounds, clock, runs } = scene(async () => outcomes.shift() ?? done);
    linkAll(rounds, 1);
    for (const node of nodes.slice(0, 1)) rounds.syncWith(node);
    await clock.advance(10 * REST_AFTER);
    assert.deepEqual(runs, ["0 at 0", "0 at 500", "0 at 1000"]);
  });

  it("rest ever longer while nothing new comes, and afresh once something did", async () => {
    let brings = 0;
    const { rounds, clock, runs } = scene(async () => ({ received: 9, fresh: brings, sent: 0, isPartial: true }));
    linkAll(rounds, 1);
    for (const node of nodes.slice(0, 1)) rounds.syncWith(node);
    await clock.advance(50_000);
    assert.deepEqual(
      runs.map((line) => Number(line.split(" ").at(-1))),
      [0, 1_000, 3_000, 7_000, 15_000, 31_000],
    );
    // Whatever the rounds add, one further sync is due at a time.
    await clock.advance(3_600_000);
    const before = runs.length;
    await clock.advance(10 * ROUND_INTERVAL);
    assert.ok(runs.length - before <= 10 * (1 + ROUND_INTERVAL / MAX_IDLE_REST), `${runs.length - before} in ten minutes`);
    brings = 1;
    await clock.advance(ROUND_INTERVAL);
    brings = 0;
    await clock.advance(REST_AFTER);
    const again = runs.length;
    await clock.advance(3_000);
    assert.equal(runs.length - again, 2);
  });

  it("forget what is due with who is gone", async () => {
    const { rounds, clock, runs } = scene(async () => ({ received: 0, fresh: 0, sent: 9, isPartial: true }));
    linkAll(rounds, 1);
    for (const node of nodes.slice(0, 1)) {
      rounds.syncWith(node);
      await clock.advance(0);
      rounds.unlinked(node);
    }
    assert.equal(clock.pending, 1);
    await clock.advance(5_000);
    assert.equal(runs.length, 1);
  });

  it("leave out whom they may not compare with, until they may", async () => {
    const { rounds, clock, runs, barred } = scene(async () => done);
    linkAll(rounds, 2);
    for (const node of nodes.slice(0, 1)) {
      barred.add(node);
      rounds.syncWith(node);
      await clock.advance(2 * ROUND_INTERVAL);
      assert.deepEqual(runs, ["1 at 60000"]);
      barred.delete(node);
      await clock.advance(2 * ROUND_INTERVAL);
    }
    assert.deepEqual(runs, ["1 at 60000", "1 at 180000", "0 at 240000"]);
  });

  it("go on after a failure, and end with close", async () => {
    const { rounds, clock, runs, failed } = scene(async (_node, signal) => {
      if (runs.length === 1) throw new Error("hung up");
      return await new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    });
    linkAll(rounds, 2);
    await clock.advance(2 * ROUND_INTERVAL);
    assert.deepEqual([runs.length, failed], [2, ["0: Error: hung up"]]);
    rounds.close();
    await clock.advance(2 * ROUND_INTERVAL);
    for (const node of nodes) rounds.syncWith(node);
    assert.deepEqual([runs.length, failed.length, clock.pending, rounds.signal.aborted], [2, 1, 0, true]);
  });

  it("tell whose turn it is, and of nobody who asked for it", async () => {
    const { rounds, clock, turns } = scene(async () => done);
    linkAll(rounds, 2);
    for (const node of nodes.slice(1, 2)) rounds.syncWith(node);
    await clock.advance(2 * ROUND_INTERVAL);
    assert.deepEqual(turns, [0, 1]);
  });
});

describe("settling", () => {
  it("compares with every neighbour at once, and counts those that have everything", async () => {
    const { rounds, clock, runs } = scene(async (node) => {
      if (node === nodes[1]) throw new Error("hung up");
      return node === nodes[2] ? { ...done, isPartial: true } : done;
    });
    linkAll(rounds, 10);
    const settled = rounds.settle(2_000);
    assert.equal(runs.length, 10);
    await clock.advance(2_000);
    assert.equal(await settled, 8);
  });

  it("does not wait for the time to be over, nor for anybody when there is nobody", async () => {
    const { rounds, clock } = scene(async () => done);
    assert.equal(await rounds.settle(60_000), 0);
    linkAll(rounds, 3);
    assert.equal(await rounds.settle(60_000), 3);
    assert.equal(clock.now(), 0);
    assert.equal(clock.pending, 1);
  });

  it("takes no comparison for an answer that began before", async () => {
    const ends: (() => void)[] = [];
    const { rounds, clock, runs } = scene(() => new Promise((resolve) => ends.push(() => resolve(done))));
    linkAll(rounds, 1);
    for (const node of nodes.slice(0, 1)) rounds.syncWith(node);
    let result: number | undefined;
    void rounds.settle(10_000).then((count) => {
      result = count;
    });
    ends[0]?.();
    await clock.advance(1);
    assert.deepEqual([result, runs.length], [undefined, 2]);
    ends[1]?.();
    await clock.advance(1);
    assert.equal(result, 1);
  });

  it("goes on with who cannot take everything at once, and ends when the time is over", async () => {
    const outcomes: SyncOutcome[] = [
      { received: 1, fresh: 1, sent: 9, isPartial: true },
      { received: 1, fresh: 1, sent: 9, isPartial: true },
    ];
    const first = scene(async () => outcomes.shift() ?? done);
    linkAll(first.rounds, 1);
    const settled = first.rounds.settle(10_000);
    await first.clock.advance(3 * REST_AFTER);
    assert.equal(await settled, 1);

    const silent = scene(() => new Promise(() => {}));
    linkAll(silent.rounds, 3);
    const over = silent.rounds.settle(1_500);
    await silent.clock.advance(1_500);
    assert.equal(await over, 0);
  });

  it("ends with who is unlinked or barred, and with close", async () => {
    const { rounds, clock, barred } = scene(() => new Promise(() => {}));
    linkAll(rounds, 3);
    const [first, second] = nodes;
    assert.ok(first !== undefined && second !== undefined);
    barred.add(first);
    const settled = rounds.settle(60_000);
    rounds.unlinked(second);
    rounds.close();
    assert.equal(await settled, 0);
    assert.equal(await rounds.settle(60_000), 0);
    assert.equal(clock.pending, 0);
  });

  it("of two at once, neither ends the other", async () => {
    const ends: (() => void)[] = [];
    const { rounds, clock } = scene(() => new Promise((resolve) => ends.push(() => resolve(done))));
    linkAll(rounds, 1);
    const [short, long] = [rounds.settle(100), rounds.settle(5_000)];
    await clock.advance(100);
    assert.equal(await short, 0);
    for (const end of ends) end();
    await clock.advance(1);
    for (const end of ends) end();
    await clock.advance(1);
    assert.equal(await long, 1);
  });
});
