import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { formatBase64url, parseBase64url } from "./base64url.ts";

test("seed 1: it is what Buffer writes and comes back, for every length up to 300", () => {
  const random = new SeededRandom(1);
  for (let length = 0; length <= 300; length++) {
    const bytes = random.bytes(length);
    const text = formatBase64url(bytes);
    assert.equal(text, Buffer.from(bytes).toString("base64url"));
    assert.deepEqual(parseBase64url(text), bytes);
  }
});

test("other alphabets, padding, lengths that cannot be and unused bits are refused", () => {
  for (const text of ["+w", "/w", "_w==", "A", "AAAAA", "AB", "AAB", "A A", "ä", "\u{1f600}A"])
    assert.equal(parseBase64url(text), undefined, text);
});

test("seed 2: 20,000 random texts either fail or are written back the same", () => {
  const random = new SeededRandom(2);
  const characters = [..."ABCabc019-_+/= "];
  for (let run = 0; run < 20_000; run++) {
    const text = Array.from({ length: random.below(8) }, () => random.pick(characters)).join("");
    const bytes = parseBase64url(text);
    if (bytes !== undefined) assert.equal(formatBase64url(bytes), text);
  }
});
