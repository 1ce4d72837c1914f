import assert from "node:assert/strict";
import { test } from "node:test";
import { describeLost, doubledOf, type Echo, lostOf, parseEcho, reorderedBursts } from "./echoes.ts";

test("lines of the program, and others", () => {
  assert.deepEqual(parseEcho("3 1000.5 1010 1020.25"), { sequence: 3, sentAt: 1_000.5, arrivedAt: 1_010, backAt: 1_020.25 });
  for (const line of ["", "listening", "end 4", "1 2 3", "1 2 3 x", "1 2 3 4 5"]) assert.equal(parseEcho(line), undefined, line);
});

test("what is lost, and what came twice", () => {
  const echoes = inOrder(0, 1, 1, 3);
  assert.equal(lostOf(echoes, 5), 2);
  assert.equal(doubledOf(echoes), 1);
  assert.equal(lostOf([], 3), 3);
  assert.equal(describeLost(echoes, 7), "2, 4-6");
  assert.equal(describeLost(inOrder(1, 0), 2), "");
});

test("a burst of reordering counts once, however long; what comes twice is not late", () => {
  assert.equal(reorderedBursts(inOrder(0, 1, 2, 3)), 0);
  assert.equal(reorderedBursts(inOrder(0, 3, 1, 2, 4)), 1);
  assert.equal(reorderedBursts(inOrder(0, 2, 1, 4, 3, 5)), 2);
  assert.equal(reorderedBursts(inOrder(0, 1, 2, 1, 0, 3)), 0);
  assert.equal(reorderedBursts(inOrder(0, 1, 4, 5)), 0, "a gap is a loss");
});

function inOrder(...sequences: readonly number[]): readonly Echo[] {
  return sequences.map((sequence, n) => ({ sequence, sentAt: sequence * 10, arrivedAt: 100 + n, backAt: 200 + n }));
}
