import assert from "node:assert/strict";
import { test } from "node:test";
import { compareBytes } from "../bytes/bytes.ts";
import { formatHex } from "../bytes/hex.ts";
import { encodeTai64n, nextTai64n, tai64nWallAt } from "./tai64n.ts";

test("1970 and an instant of 2012, ten seconds ahead, cut to 2^24 ns", () => {
  assert.equal(formatHex(encodeTai64n(0)), "400000000000000a00000000");
  assert.equal(formatHex(encodeTai64n(-5)), "400000000000000a00000000");
  assert.equal(formatHex(encodeTai64n(1_354_320_000_016)), "4000000050b9488a00000000");
  assert.equal(formatHex(encodeTai64n(1_354_320_000_017)), "4000000050b9488a01000000");
  assert.equal(formatHex(encodeTai64n(1_354_320_000_999)), "4000000050b9488a3b000000");
});

test("later instants are greater stamps", () => {
  for (let at = 1_700_000_000_000; at < 1_700_000_003_000; at += 17)
    assert.ok(compareBytes(encodeTai64n(at + 17), encodeTai64n(at)) > 0, `${at}`);
});

test("stamps of one peer rise while the clock stands still, and over the second's end", () => {
  let stamp = nextTai64n(undefined, 1_700_000_000_000);
  for (let i = 0; i < 200; i++) {
    const next = nextTai64n(stamp, 1_700_000_000_000 - i * 1_000);
    assert.ok(compareBytes(next, stamp) > 0, `step ${i}`);
    assert.ok(new DataView(next.buffer).getUint32(8) < 1_000_000_000);
    stamp = next;
  }
  assert.deepEqual(nextTai64n(stamp, 1_800_000_000_000), encodeTai64n(1_800_000_000_000));
});

test("the instant of a stamp is rounded up, so what is reserved up to it holds the stamp", () => {
  for (let at = 1_700_000_000_000; at < 1_700_000_002_000; at += 7) {
    const stamp = encodeTai64n(at);
    const back = tai64nWallAt(stamp);
    assert.ok(back <= at + 1 && back > at - 17, `${at} -> ${back}`);
    assert.ok(compareBytes(encodeTai64n(back), stamp) >= 0, `${at}`);
  }
  assert.equal(tai64nWallAt(encodeTai64n(0)), 0);
});
