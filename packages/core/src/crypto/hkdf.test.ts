import assert from "node:assert/strict";
import { createHmac, hkdfSync } from "node:crypto";
import { test } from "node:test";
import { concatBytes } from "../bytes/bytes.ts";
import { hmacBlake2s, kdf1, kdf2, kdf3 } from "./hkdf.ts";

test("HMAC agrees with OpenSSL for every key length up to two blocks", () => {
  const message = new Uint8Array(77).fill(3);
  for (let length = 0; length <= 128; length++) {
    const key = Uint8Array.from({ length }, (_, i) => i);
    const wanted = new Uint8Array(createHmac("blake2s256", key).update(message).digest());
    assert.deepEqual(hmacBlake2s(key, message), wanted, `key of ${length}`);
    assert.deepEqual(hmacBlake2s(key, message.subarray(0, 10), message.subarray(10)), wanted, `key of ${length}, in parts`);
  }
});

test("KDF1 to KDF3 are HKDF with empty info, and leave their inputs alone", () => {
  const chainingKey = new Uint8Array(32).fill(1);
  const input = new Uint8Array(32).fill(2);
  const wanted = new Uint8Array(hkdfSync("blake2s256", input, chainingKey, new Uint8Array(0), 96));
  assert.deepEqual(concatBytes(...kdf3(chainingKey, input)), wanted);
  assert.deepEqual(concatBytes(...kdf2(chainingKey, input)), wanted.slice(0, 64));
  assert.deepEqual(kdf1(chainingKey, input), wanted.slice(0, 32));
  assert.deepEqual([chainingKey, input], [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]);
});
