import assert from "node:assert/strict";
import { test } from "node:test";
import { TokenBucket } from "./token-bucket.ts";

test("a burst goes through, then the rate, and a rest fills it again, never beyond the burst", () => {
  const bucket = new TokenBucket({ burst: 3, perSecond: 2 });
  const taken = (now: number, tries: number): number => Array.from({ length: tries }, () => bucket.take(now)).filter(Boolean).length;
  assert.equal(taken(0, 10), 3);
  assert.equal(taken(499, 10), 0);
  assert.equal(taken(1_000, 10), 2);
  assert.equal(taken(3_600_000, 10), 3);
});
