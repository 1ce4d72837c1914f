import assert from "node:assert/strict";
import { test } from "node:test";
import { minutes, seconds } from "./millis.ts";
import { earliest } from "./wake.ts";

test("the earliest instant counts, never counts for nothing, zero is an instant", () => {
  assert.equal(earliest(), undefined);
  assert.equal(earliest(undefined, undefined), undefined);
  assert.equal(earliest(undefined, 7, 5, undefined, 9), 5);
  assert.equal(earliest(3, 0, undefined), 0);
});

test("durations are milliseconds", () => {
  assert.deepEqual([seconds(1.5), minutes(2)], [1_500, 120_000]);
});
