import assert from "node:assert/strict";
import { test } from "node:test";
import { formatHex, parseHex } from "./hex.ts";

test("every byte comes back, in lower case", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.equal(formatHex(bytes), Buffer.from(bytes).toString("hex"));
  assert.deepEqual(parseHex(formatHex(bytes)), bytes);
  assert.deepEqual(parseHex(""), new Uint8Array());
});

test("odd lengths, upper case and anything else are refused", () => {
  for (const text of ["0", "abc", "AB", "0x", " 0", "0g", "00\n", "é0"]) assert.equal(parseHex(text), undefined, text);
});
