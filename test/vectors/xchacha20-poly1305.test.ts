import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "@mesh/core/node-crypto";
import { hchacha20, openXChaCha, sealXChaCha } from "../../packages/core/src/crypto/xchacha20-poly1305.ts";
import { hex, readVectors } from "./read-vectors.ts";

const crypto = nodeCrypto();

interface HChaChaFile {
  readonly tests: readonly Readonly<Record<"name" | "key" | "nonce" | "subkey", string>>[];
}

test("HChaCha20", () => {
  for (const { name, key, nonce, subkey } of readVectors<HChaChaFile>("hchacha20.json").tests)
    assert.deepEqual(hchacha20(hex(key), hex(nonce)), hex(subkey), name);
});

interface AeadFile {
  readonly numberOfTests: number;
  readonly testGroups: readonly { readonly ivSize: number; readonly tests: readonly AeadTest[] }[];
}

type AeadTest = Readonly<Record<"key" | "iv" | "aad" | "msg" | "ct" | "tag", string>> & {
  readonly tcId: number;
  readonly result: "valid" | "invalid" | "acceptable";
};

test("XChaCha20-Poly1305: Wycheproof, with the vector of draft-irtf-cfrg-xchacha", () => {
  const file = readVectors<AeadFile>("wycheproof-xchacha20-poly1305.json");
  let ran = 0;
  for (const { ivSize, tests } of file.testGroups) {
    for (const { tcId, result, ...fields } of tests) {
      const box = { crypto, key: hex(fields.key), nonce: hex(fields.iv), associated: hex(fields.aad) };
      const sealed = hex(fields.ct + fields.tag);
      ran++;
      if (ivSize !== 192) {
        assert.throws(() => sealXChaCha(box, hex(fields.msg)), RangeError, `test ${tcId}`);
        assert.throws(() => openXChaCha(box, sealed), RangeError, `test ${tcId}`);
      } else if (result === "valid") {
        assert.deepEqual(sealXChaCha(box, hex(fields.msg)), sealed, `test ${tcId}`);
        assert.deepEqual(openXChaCha(box, sealed), hex(fields.msg), `test ${tcId}`);
      } else {
        assert.equal(openXChaCha(box, sealed), undefined, `test ${tcId}`);
      }
    }
  }
  assert.equal(ran, file.numberOfTests);
});
