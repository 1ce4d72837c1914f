import assert from "node:assert/strict";
import { BlockList } from "node:net";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { ipFamily, ipFromBytes } from "./ip.ts";
import { addressBits, formatPrefix, makePrefix, type Prefix, parsePrefix, prefixContains, prefixesOverlap } from "./prefix.ts";

test("prefixes come back from their text", () => {
  for (const text of ["10.77.0.0/16", "0.0.0.0/0", "192.0.2.1/32", "::/0", "2001:db8::/32", "::1/128", "fd00::/7", "128.0.0.0/1"]) {
    const prefix = text === "fd00::/7" ? parsePrefix("fc00::/7") : parsePrefix(text);
    assert.ok(prefix !== undefined, text);
    assert.deepEqual(parsePrefix(formatPrefix(prefix)), prefix);
  }
});

test("bits beyond the length, lengths that cannot be and anything else are refused", () => {
  const texts =
    "|10.77.0.1/16|10.77.0.0|10.77.0.0/|10.77.0.0/33|10.77.0.0/-1|10.77.0.0/8|::1/127|::/129|fd00::/7|10.0.0.0/1000|/16|10.0.0.0/8/8|::ffff:0:0/96|10.0.0.0/ 8";
  for (const text of texts.split("|")) assert.equal(parsePrefix(text), undefined, text);
});

test("seed 1: cutting, containing and overlapping agree with node:net and with every bit counted", () => {
  const random = new SeededRandom(1);
  for (let run = 0; run < 5_000; run++) {
    const [a, b] = [randomPrefix(random), randomPrefix(random)];
    const family = ipFamily(a.ip);
    const list = new BlockList();
    list.addSubnet(a.ip, a.length, family === 4 ? "ipv4" : "ipv6");
    const isInside = family === ipFamily(b.ip) && list.check(b.ip, family === 4 ? "ipv4" : "ipv6");
    assert.equal(prefixContains(a, b.ip), isInside, `${formatPrefix(a)} and ${b.ip}`);
    const wanted =
      ipFamily(b.ip) === family && makePrefix(a.ip, Math.min(a.length, b.length)).ip === makePrefix(b.ip, Math.min(a.length, b.length)).ip;
    assert.equal(prefixesOverlap(a, b), wanted, `${formatPrefix(a)} and ${formatPrefix(b)}`);
    assert.equal(prefixesOverlap(b, a), wanted);
    assert.deepEqual(parsePrefix(formatPrefix(a)), a);
  }
});

test("IPv4 and IPv6 never overlap, not even the whole of them", () => {
  const [all4, all6] = [parsePrefix("0.0.0.0/0"), parsePrefix("::/0")];
  assert.ok(all4 !== undefined && all6 !== undefined);
  assert.equal(prefixesOverlap(all4, all6), false);
  assert.deepEqual([addressBits(4), addressBits(6)], [32, 128]);
});

/** From few addresses, so that some hold others. */
function randomPrefix(random: SeededRandom): Prefix {
  const bytes = random.below(2) === 0 ? new Uint8Array(4).fill(10, 0, 1) : new Uint8Array(16).fill(0x20, 0, 1);
  for (let changes = random.below(3); changes > 0; changes--) bytes[random.below(bytes.length)] = 1 << random.below(8);
  return makePrefix(ipFromBytes(bytes), random.below(bytes.length * 8 + 1));
}
