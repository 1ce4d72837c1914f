import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nodeId } from "../ids/node-id.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { beginsComparing, neighbourLongestAgo } from "./sync-turn.ts";

describe("turn to sync", () => {
  it("is the one's with whom it is longest ago, and before all others one's with whom it never was", () => {
    const at = new Map<string, number>([
      ["a", 30],
      ["b", 10],
      ["c", 20],
    ]);
    const turn = (...names: readonly string[]): string | undefined => neighbourLongestAgo(names, (name) => at.get(name));
    assert.deepEqual([turn("a", "b", "c"), turn("a", "new", "b", "newer"), turn("c"), turn()], ["b", "new", "c", undefined]);
  });

  it("comes to each of n neighbours within n rounds, whoever was compared with on demand (seed 7)", () => {
    const random = new SeededRandom(7);
    const comparedAt = new Map<number, number>();
    const neighbours = Array.from({ length: 40 }, (_, i) => i);
    for (let round = 1; round <= 1_000; round++) {
      const turn = neighbourLongestAgo(neighbours, (one) => comparedAt.get(one)) ?? assert.fail();
      comparedAt.set(turn, round);
      const onDemand = random.pick(neighbours);
      if (onDemand !== undefined && random.next() < 0.3) comparedAt.set(onDemand, round);
      if (round >= neighbours.length) for (const one of neighbours) assert.ok(round - (comparedAt.get(one) ?? 0) < neighbours.length);
    }
  });

  it("is one side's alone on a new link", () => {
    const [a, b] = [nodeId(new Uint8Array(32)), nodeId(new Uint8Array(32).fill(1))];
    assert.notEqual(beginsComparing(a, b), beginsComparing(b, a));
  });
});
