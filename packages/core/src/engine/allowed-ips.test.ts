import assert from "node:assert/strict";
import { test } from "node:test";
import { ipFromBytes } from "../address/ip.ts";
import { makePrefix, type Prefix, parsePrefix, prefixContains } from "../address/prefix.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { AllowedIps } from "./allowed-ips.ts";

test("the longest prefix wins, and the same one again takes the new slot", () => {
  const table = new AllowedIps();
  for (const [text, slot] of [
    ["0.0.0.0/0", 0] as const,
    ["10.0.0.0/8", 1] as const,
    ["10.1.0.0/16", 2] as const,
    ["10.1.2.3/32", 3] as const,
    ["10.1.0.0/16", 4] as const,
  ])
    table.insert(prefix(text), slot);
  assert.equal(table.find(Uint8Array.of(10, 1, 2, 3)), 3);
  assert.equal(table.find(Uint8Array.of(10, 1, 2, 4)), 4);
  assert.equal(table.find(Uint8Array.of(10, 2, 0, 0)), 1);
  assert.equal(table.find(Uint8Array.of(192, 0, 2, 1)), 0);
  assert.equal(table.find(new Uint8Array(16)), undefined);
});

test("an IPv4-mapped IPv6 address is not the IPv4 address in it", () => {
  const table = new AllowedIps();
  table.insert(prefix("10.0.0.0/8"), 1);
  assert.equal(table.find(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1)), undefined);
});

for (const seed of [1, 2, 3]) {
  test(`as a search through all prefixes, seed ${seed}`, () => {
    const random = new SeededRandom(seed);
    const table = new AllowedIps();
    const all: { readonly prefix: Prefix; readonly slot: number }[] = [];
    const address = (bytes: number): Uint8Array => random.bytes(bytes).map((byte, i) => (i < bytes - 2 ? 0x20 : byte & 0x13));
    for (let slot = 0; slot < 200; slot++) {
      const bytes = random.next() < 0.5 ? 4 : 16;
      const made = makePrefix(ipFromBytes(address(bytes)), bytes * 8 - random.below(20));
      const known = all.findIndex((entry) => entry.prefix.ip === made.ip && entry.prefix.length === made.length);
      if (known >= 0) all.splice(known, 1);
      all.push({ prefix: made, slot });
      table.insert(made, slot);
    }
    for (let i = 0; i < 2_000; i++) {
      const bytes = address(random.next() < 0.5 ? 4 : 16);
      const ip = ipFromBytes(bytes);
      const [best] = all.filter((entry) => prefixContains(entry.prefix, ip)).sort((a, b) => b.prefix.length - a.prefix.length);
      assert.equal(table.find(bytes), best?.slot, ip);
    }
  });
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert.ok(parsed !== undefined);
  return parsed;
}
