import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8, utf8Text } from "./text.ts";

test("text comes back from its UTF-8", () => {
  for (const text of ["", "mesh", "größe", "\u{1f600}"]) assert.equal(utf8Text(utf8(text)), text);
  assert.deepEqual(utf8("é"), Uint8Array.of(0xc3, 0xa9));
});

test("what is not UTF-8 is refused: cut short, overlong, surrogate, beyond Unicode", () => {
  for (const bytes of [[0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x80], [0xff]])
    assert.equal(utf8Text(Uint8Array.from(bytes)), undefined);
});
