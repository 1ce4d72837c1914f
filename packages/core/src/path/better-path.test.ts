import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "../address/ip.ts";
import { isBetter } from "./better-path.ts";
import { type Candidate, direct } from "./candidate.ts";
import { BY_R, BY_S, direct1, R, X, Y } from "./path-run-fixture.ts";

const TCP: Candidate = direct({ ip: "127.0.0.1" as Ip, port: 5_000 });

/** `a` is in use with a round trip of 100 ms; `b` answers after `rtt`. */
function isLeft(a: Candidate, b: Candidate, rtt = 10, asked = 0): boolean {
  return isBetter({ candidate: b, rtt }, { ...direct1, path: { candidate: a, rtt: 100, measuredAt: 0 }, asked }, [R]);
}

test("straight by UDP, by a relay that UDP reaches, by TCP, by a relay that TCP reaches: in this order, however fast", () => {
  const classes = [X, BY_S, TCP, BY_R];
  for (const [i, used] of classes.entries())
    for (const [j, found] of classes.entries()) if (i !== j) assert.equal(isLeft(used, found), j < i, `${i} for ${j}`);
});

test("of one class, the faster one by enough; any that answers while the one in use is silent", () => {
  const other: Candidate = direct({ ip: "127.0.0.1" as Ip, port: 5_001 });
  for (const [used, found] of [
    [X, Y],
    [TCP, other],
  ] as const) {
    assert.deepEqual([isLeft(used, found, 89), isLeft(used, found, 96)], [true, false]);
    assert.equal(isLeft(used, found, 200, 1), true, "silent");
  }
});
