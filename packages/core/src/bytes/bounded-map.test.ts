import assert from "node:assert/strict";
import { test } from "node:test";
import { BoundedMap } from "./bounded-map.ts";

test("of more than the limit the one set longest ago goes; a key set again counts as set now", () => {
  const map = new BoundedMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);
  map.set("c", 4);
  assert.deepEqual(
    [...map.entries()],
    [
      ["a", 3],
      ["c", 4],
    ],
  );
  assert.equal(map.get("b"), undefined);
});

test("it never holds more than the limit, and what is deleted makes room", () => {
  const map = new BoundedMap<number, number>(3);
  for (let i = 0; i < 1_000; i++) {
    map.set(i, i);
    assert.ok([...map.entries()].length <= 3);
  }
  map.delete(998);
  map.set(1_000, 0);
  assert.deepEqual(
    [...map.entries()].map(([key]) => key),
    [997, 999, 1_000],
  );
});

test("cleared it is empty, and holds as many again", () => {
  const map = new BoundedMap<number, number>(2);
  for (const key of [1, 2]) map.set(key, key);
  map.clear();
  assert.deepEqual([...map.entries()], []);
  for (const key of [3, 4]) map.set(key, key);
  assert.deepEqual([...map.entries()].length, 2);
});
