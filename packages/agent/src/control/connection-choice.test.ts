import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type ConnectionAge,
  CROSSED_DIAL_GRACE,
  choiceGrace,
  chooseConnection,
  FALLBACK_GRACE,
  MOVED_GRACE,
  SAME_SIDE_GRACE,
  SIMULTANEOUS,
} from "./connection-choice.ts";

const age = (dialled: boolean, openedAt: number): ConnectionAge => ({ dialled, openedAt });
/** The other end's view of the same connections. */
const seenFromThere = (connections: readonly ConnectionAge[]): ConnectionAge[] =>
  connections.map(({ dialled, openedAt }) => age(!dialled, openedAt + 3));

describe("choice between connections", () => {
  const cases: readonly (readonly [string, readonly ConnectionAge[], number])[] = [
    ["one is kept", [age(false, 0)], 0],
    ["both dialled at once: the smaller's dial", [age(false, 0), age(true, 1)], 1],
    ["both dialled at once, the smaller's first", [age(true, 0), age(false, 1)], 0],
    ["the peer moved: the newest", [age(true, 0), age(false, SIMULTANEOUS)], 1],
    ["dialled twice by one side: the newest", [age(true, 0), age(true, 10)], 1],
    ["an old one is not better for its direction", [age(true, 0), age(false, 9_000), age(false, 9_500)], 2],
  ];
  for (const [name, connections, kept] of cases) {
    it(`${name}, on both ends`, () => {
      assert.equal(connections.indexOf(chooseConnection(connections, true) ?? age(true, -1)), kept);
      const there = seenFromThere(connections);
      assert.equal(there.indexOf(chooseConnection(there, false) ?? age(true, -1)), kept);
    });
  }

  it("has nothing to choose from nothing", () => {
    assert.equal(chooseConnection([], true), undefined);
  });

  it("is made by the smaller node, at once when both dialled", () => {
    const crossed = [age(true, 0), age(false, 0)];
    assert.equal(choiceGrace(crossed, true), CROSSED_DIAL_GRACE);
    assert.equal(choiceGrace([age(false, 0), age(false, 0)], true), SAME_SIDE_GRACE);
    assert.equal(choiceGrace(crossed, false), FALLBACK_GRACE);
  });

  it("is made by both ends at once when a peer that moved dialled anew", () => {
    const moved = [age(true, 0), age(false, SIMULTANEOUS)];
    assert.deepEqual([choiceGrace(moved, true), choiceGrace(seenFromThere(moved), false)], [MOVED_GRACE, MOVED_GRACE]);
    const raced = [...moved, age(false, SIMULTANEOUS + 5)];
    assert.deepEqual([choiceGrace(raced, true), choiceGrace(seenFromThere(raced), false)], [SAME_SIDE_GRACE, FALLBACK_GRACE]);
  });
});
