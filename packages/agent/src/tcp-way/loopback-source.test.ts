import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ip, ipBytes } from "@mesh/core/ports";
import { loopbackSource, sourceName } from "./loopback-source.ts";

const key = new Uint8Array(32).fill(1);
const ip = (text: string): Ip => text as Ip;

test("a source has one loopback address, another under another key, and never one of this host's own", () => {
  const seen = new Set<string>();
  for (let i = 0; i < 2_000; i++) {
    const source = loopbackSource(key, ip(`198.51.${i >> 8}.${i & 255}`));
    const [a, b = 0, , d = 0] = ipBytes(source);
    assert.ok(a === 127 && b > 0 && b < 255 && d > 0 && d < 255, source);
    seen.add(source);
  }
  assert.ok(seen.size >= 1_998, `${seen.size} of 2,000 are different`);
  assert.equal(loopbackSource(key, ip("198.51.100.1")), loopbackSource(key, ip("198.51.100.1")));
  assert.notEqual(loopbackSource(key, ip("198.51.100.1")), loopbackSource(new Uint8Array(32), ip("198.51.100.1")));
});

test("all addresses of one IPv6 network are one source", () => {
  const same = [ip("2001:db8:1:2::1"), ip("2001:db8:1:2:ffff::9")] as const;
  assert.equal(loopbackSource(key, same[0]), loopbackSource(key, same[1]));
  assert.equal(sourceName(same[0]), sourceName(same[1]));
  assert.notEqual(sourceName(same[0]), sourceName(ip("2001:db8:1:3::1")));
});
