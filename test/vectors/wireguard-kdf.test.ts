import assert from "node:assert/strict";
import { test } from "node:test";
import { kdf1, kdf2, kdf3 } from "../../packages/core/src/crypto/hkdf.ts";
import { hex, readVectors } from "./read-vectors.ts";

interface KdfVectors {
  readonly tests: readonly { readonly key: string; readonly input: string; readonly keys: readonly string[] }[];
}

test("WireGuard's KDF1, KDF2 and KDF3", () => {
  for (const { key, input, keys } of readVectors<KdfVectors>("wireguard-kdf.json").tests) {
    const wanted = keys.map(hex);
    assert.deepEqual([kdf1(hex(key), hex(input))], wanted.slice(0, 1));
    assert.deepEqual(kdf2(hex(key), hex(input)), wanted.slice(0, 2));
    assert.deepEqual(kdf3(hex(key), hex(input)), wanted);
  }
});
