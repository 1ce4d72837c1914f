import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "../address/ip.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type Rate, RateBucket, SourceBuckets, sourceKey } from "./source-buckets.ts";

const RATE: Rate = { burst: 5, perSecond: 20 };

function ip(text: string): Ip {
  return text as Ip;
}

function taken(buckets: SourceBuckets, source: string, now: number): number {
  let count = 0;
  while (buckets.take(sourceKey(ip(source)), now)) count++;
  return count;
}

test("five at once, then one in 50 ms, to the millisecond and for ever, never more than five", () => {
  const bucket = new RateBucket(RATE, 1_000);
  const burst = Array.from({ length: 7 }, () => bucket.take(1_000));
  assert.deepEqual(burst, [true, true, true, true, true, false, false]);
  for (let at = 1_001; at < 61_000; at++) assert.equal(bucket.take(at), (at - 1_000) % 50 === 0, `at ${at}`);
  const rested = Array.from({ length: 7 }, () => bucket.take(1_000_000));
  assert.deepEqual(rested, burst);
});

test("a clock that goes back fills nothing and takes nothing away", () => {
  const bucket = new RateBucket(RATE, 10_000);
  for (let i = 0; i < 5; i++) bucket.take(10_000);
  assert.equal(bucket.take(9_000), false);
  assert.equal(bucket.take(10_049), false);
  assert.equal(bucket.take(10_050), true);
});

test("what is taken at once is taken whole or not at all", () => {
  const bucket = new RateBucket(RATE, 0);
  assert.deepEqual([bucket.take(0, 6), bucket.take(0, 3), bucket.take(0, 3), bucket.take(0, 2)], [false, true, false, true]);
  assert.deepEqual([bucket.take(100, 3), bucket.take(100, 2), bucket.take(100)], [false, true, false]);
});

test("a changed rate counts from then on; what is left stays, as far as there is room", () => {
  const bucket = new RateBucket(RATE, 0);
  bucket.take(0, 2);
  bucket.changeRate({ burst: 100, perSecond: 1_000 });
  assert.deepEqual([bucket.take(0, 4), bucket.take(1, 4), bucket.take(1)], [false, true, false]);
  bucket.take(1_000, 0);
  bucket.changeRate({ burst: 2, perSecond: 1 });
  assert.deepEqual([bucket.take(1_000, 3), bucket.take(1_000, 2)], [false, true]);
});

test("an IPv4 address is a source, and so is an IPv6 /64", () => {
  const buckets = new SourceBuckets(RATE, 10);
  assert.equal(taken(buckets, "192.0.2.1", 0), 5);
  assert.equal(taken(buckets, "192.0.2.2", 0), 5);
  assert.equal(taken(buckets, "2001:db8:0:1::1", 0), 5);
  assert.equal(taken(buckets, "2001:db8:0:1:ffff::2", 0), 0);
  assert.equal(taken(buckets, "2001:db8:0:2::1", 0), 5);
});

test("of too many sources, the one that was quiet longest is forgotten", () => {
  const buckets = new SourceBuckets(RATE, 3);
  for (const source of ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) assert.equal(taken(buckets, source, 0), 5);
  assert.equal(buckets.take(sourceKey(ip("192.0.2.1")), 0), false); // refused, and heard all the same
  assert.equal(taken(buckets, "192.0.2.4", 0), 5);
  assert.equal(taken(buckets, "192.0.2.1", 0), 0, "still known");
  assert.equal(taken(buckets, "192.0.2.3", 0), 0, "still known");
  assert.equal(taken(buckets, "192.0.2.2", 0), 5, "forgotten");
});

test("seed 1: the same sources are forgotten as in a list that is searched", () => {
  const random = new SeededRandom(1);
  const buckets = new SourceBuckets({ burst: 1, perSecond: 0 }, 8);
  let known: number[] = []; // latest last
  for (let run = 0; run < 5_000; run++) {
    const host = random.below(12);
    assert.equal(buckets.take(`192.0.2.${host}`, 0), !known.includes(host), `run ${run}`);
    known = [...known.filter((other) => other !== host), host].slice(-8);
  }
});
