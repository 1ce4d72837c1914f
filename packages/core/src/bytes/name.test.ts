import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { isName, nameFrom } from "./name.ts";

test("a name is one DNS label in lower case", () => {
  for (const name of ["a", "7", "laptop-b", "a--b", "x".repeat(63)]) assert.ok(isName(name), name);
  for (const name of ["", "-a", "a-", "A", "a.b", "a_b", "ü", "a\n", " a", "x".repeat(64)]) assert.equal(isName(name), false, name);
});

test("what a host calls itself becomes the nearest name", () => {
  assert.equal(nameFrom("Laptop B.fritz.box", "node"), "laptop-b");
  assert.equal(nameFrom("__web__01", "node"), "web-01");
  assert.equal(nameFrom(`${"x".repeat(62)}-y`, "node"), "x".repeat(62));
  for (const nothing of ["", "...", "---", "你好", ".local"]) assert.equal(nameFrom(nothing, "node"), "node", nothing);
});

test("seed 1: from whatever text, it is a name", () => {
  const random = new SeededRandom(1);
  const characters = [..."aZ0-_. \u00fc\u{1f600}"];
  for (let run = 0; run < 5_000; run++) {
    const text = Array.from({ length: random.below(80) }, () => random.pick(characters)).join("");
    assert.ok(isName(nameFrom(text, "node")), JSON.stringify(text));
  }
});
