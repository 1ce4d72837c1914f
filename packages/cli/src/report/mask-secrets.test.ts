import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { maskSecrets } from "./mask-secrets.ts";

const nothing = { publicIds: new Set<string>(), secretFiles: [] };

/** 32 bytes that look random and are the same in every run. */
function keyOf(seed: number): Buffer {
  return createHash("sha256").update(`key ${seed}`).digest();
}

test("invites go, whatever they are within", () => {
  const invite = `mesh1${keyOf(1).toString("base64url")}${keyOf(2).toString("base64url")}`;
  assert.equal(maskSecrets(`{"arg":"${invite}"} mesh1 mesh10 mesh0`, nothing), '{"arg":"(removed: an invite)"} mesh1 mesh10 mesh0');
});

for (let seed = 0; seed < 200; seed += 50) {
  test(`words that could be keys go in every spelling, seeds ${seed} to ${seed + 49}`, () => {
    for (let i = seed; i < seed + 50; i++) {
      const key = keyOf(i);
      for (const word of [key.toString("hex"), key.toString("hex").toUpperCase(), key.toString("base64url"), key.toString("base64")]) {
        const masked = maskSecrets(`seed ${word} "${word}", x=${word}\n`, {
          ...nothing,
          secretFiles: [Buffer.concat([Buffer.from("head"), key, Buffer.from("tail")])],
        });
        assert.ok(!masked.includes(word.slice(0, 20)) && !masked.includes(word.slice(-30)), masked);
      }
      for (const word of [key.toString("hex"), key.toString("base64url")])
        assert.ok(!maskSecrets(word, nothing).includes(word.slice(0, 20)));
    }
  });
}

test("keys within paths go too: unknown ones by their look, this host's own in any spelling", () => {
  const hex = keyOf(4).toString("hex");
  assert.equal(maskSecrets(`/srv/state/files/${hex}/node`, nothing), "/srv/state/files/(removed: it looks like a key)/node");
  // Cut at its slashes, base64 has parts too short to look like a key.
  const key = Buffer.from(`${"A".repeat(20)}/${"b".repeat(20)}/8=`.replaceAll("=", ""), "base64");
  const own = Buffer.concat([key, Buffer.alloc(32)]).subarray(0, 32);
  const base64 = own.toString("base64");
  assert.ok(base64.includes("/"));
  const masked = maskSecrets(`/srv/state/files/${base64}`, { ...nothing, secretFiles: [own] });
  assert.ok(!masked.includes(base64.slice(0, 20)), masked);
});

test("bytes go, too, in the ways in which programs print them", () => {
  const key = keyOf(5);
  const pairs = key.toString("hex").match(/../g) ?? [];
  for (const bytes of [
    JSON.stringify(key),
    JSON.stringify([...key], null, 1),
    pairs.join(":"),
    pairs.join(" ").toUpperCase(),
    pairs.join("-"),
  ]) {
    const masked = maskSecrets(`x = ${bytes};`, nothing);
    assert.ok(masked.includes("it looks like a key") && masked.length < 80, masked);
  }
  const harmless = "02:42:ac:11:00:02 [1, 2, 3] 2026-11-23 10:20:30";
  assert.equal(maskSecrets(harmless, nothing), harmless);
});

test("public ids, peer ids, paths, addresses and prose stay", () => {
  const id = keyOf(3).toString("hex");
  const text = `node ${id} 12D3KooWGzBwQBTVDHkYVYvZ1Sdv8kbKUnJMsmnXnMEGSn1Q2p4m
    at file:///srv/mesh/node_modules/some-package/dist/sources/index1.js:10:5 /usr/local/lib/node_modules/other2/packages/source
    fd4e:1f2a:9c01:2::1 an_extremely_long_identifier_that_holds_no_digit_at_all 1234567890123456789012345678901234567890123456`;
  assert.equal(maskSecrets(text, { ...nothing, publicIds: new Set([id]) }), text);
});
