import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type Ip, ipFromBytes } from "./ip.ts";
import { makePrefix, type Prefix, prefixContains } from "./prefix.ts";
import { PrefixTrie } from "./prefix-trie.ts";

for (const seed of [1, 2, 3, 4, 5]) {
  test(`seed ${seed}: it finds what a linear scan finds`, () => {
    const random = new SeededRandom(seed);
    const trie = new PrefixTrie<number>();
    const all = new Map<string, { readonly prefix: Prefix; value: number }>();
    for (let value = 0; value < 300; value++) {
      const ip = randomIp(random);
      const prefix = makePrefix(ip, random.below(ip.includes(":") ? 129 : 33));
      trie.insert(prefix, value);
      all.set(`${prefix.ip}/${prefix.length}`, { prefix, value });
      const asked = randomIp(random);
      const holding = [...all.values()]
        .filter((entry) => prefixContains(entry.prefix, asked))
        .sort((a, b) => b.prefix.length - a.prefix.length);
      assert.equal(trie.lookup(asked), holding[0]?.value, asked);
      assert.equal(trie.lookup(prefix.ip) === undefined, false);
    }
  });
}

test("an empty trie holds nothing, and the families are apart", () => {
  const trie = new PrefixTrie<string>();
  assert.equal(trie.lookup("10.0.0.1" as Ip), undefined);
  trie.insert({ ip: "0.0.0.0" as Ip, length: 0 }, "all of IPv4");
  assert.equal(trie.lookup("255.255.255.255" as Ip), "all of IPv4");
  assert.equal(trie.lookup("::1" as Ip), undefined);
});

/** From few addresses, so that prefixes hold each other. */
function randomIp(random: SeededRandom): Ip {
  const bytes = new Uint8Array(random.below(2) === 0 ? 4 : 16);
  bytes[0] = 0x20;
  for (let changes = random.below(4); changes > 0; changes--) bytes[random.below(bytes.length)] = random.below(4);
  return ipFromBytes(bytes);
}
