import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Ip } from "@mesh/core/ports";
import {
  JOIN_BURST,
  JOIN_INTERVAL,
  JoinLimit,
  MAX_CONCURRENT_JOINS,
  MAX_CONCURRENT_PER_SOURCE,
  MAX_CONCURRENT_REFUSED,
  REFUSED_INTERVAL,
} from "./join-limit.ts";

const source = (n: number): Ip => `10.0.${n >> 8}.${n & 255}` as Ip;

describe("join limit", () => {
  it("lets a source make a few attempts in a row, then one every two seconds", () => {
    const limit = new JoinLimit();
    const allowed = (now: number): boolean => {
      const leave = limit.enter(source(1), now);
      leave?.();
      return leave !== undefined;
    };
    for (let i = 0; i < JOIN_BURST; i++) assert.equal(allowed(0), true);
    assert.equal(allowed(0), false);
    assert.equal(allowed(JOIN_INTERVAL - 1), false);
    assert.equal(allowed(JOIN_INTERVAL), true);
    assert.equal(allowed(JOIN_INTERVAL), false);
    assert.equal(allowed(1_000_000), true);
  });

  it("does not make one source pay for another", () => {
    const limit = new JoinLimit();
    for (let i = 0; i < JOIN_BURST + 1; i++) limit.enter(source(1), 0)?.();
    assert.notEqual(limit.enter(source(2), 0), undefined);
  });

  it("lets a bounded number run at once, and takes a place back once", () => {
    const limit = new JoinLimit();
    const leaves = Array.from({ length: MAX_CONCURRENT_JOINS }, (_, n) => limit.enter(source(n), 0));
    assert.ok(leaves.every((leave) => leave !== undefined));
    assert.equal(limit.enter(source(100), 0), undefined);
    leaves[0]?.();
    leaves[0]?.();
    assert.notEqual(limit.enter(source(100), 0), undefined);
    assert.equal(limit.enter(source(101), 0), undefined);
  });

  it("lets a source run two at once, and takes all addresses of an IPv6 /64 for one", () => {
    const limit = new JoinLimit();
    const host = (n: number): Ip => `2001:db8:0:1::${n}` as Ip;
    const leaves = Array.from({ length: MAX_CONCURRENT_PER_SOURCE }, (_, n) => limit.enter(host(n + 1), 0));
    assert.ok(leaves.every((leave) => leave !== undefined));
    assert.equal(limit.enter(host(9), 0), undefined);
    assert.notEqual(limit.enter("2001:db8:0:2::1" as Ip, 0), undefined);
    leaves[0]?.();
    for (let n = MAX_CONCURRENT_PER_SOURCE; n < JOIN_BURST; n++) limit.enter(host(n + 10), 0)?.();
    assert.equal(limit.enter(host(99), 0), undefined);
  });

  it("lets a bounded number be told that they are refused, one in 100 ms", () => {
    const limit = new JoinLimit();
    const first = limit.enterRefused(0);
    assert.notEqual(first, undefined);
    assert.equal(limit.enterRefused(REFUSED_INTERVAL - 1), undefined);
    for (let n = 1; n < MAX_CONCURRENT_REFUSED; n++) assert.notEqual(limit.enterRefused(n * REFUSED_INTERVAL), undefined);
    assert.equal(limit.enterRefused(10_000), undefined);
    first?.();
    first?.();
    assert.notEqual(limit.enterRefused(10_000), undefined);
    assert.equal(limit.enterRefused(20_000), undefined);
  });
});
