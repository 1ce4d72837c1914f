import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "../../node-crypto.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import type { Crypto } from "./crypto.ts";
import { hchacha20, openXChaCha, sealXChaCha, type XChaChaBox } from "./xchacha20-poly1305.ts";

// The published vectors are in test/vectors.

const crypto = nodeCrypto();

function drawBox(random: SeededRandom): XChaChaBox {
  return { crypto, key: random.bytes(32), nonce: random.bytes(24), associated: random.bytes(random.below(40)) };
}

test("seeds 1 to 50: what was sealed opens, and with one bit of anything flipped it does not", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new SeededRandom(seed);
    const box = drawBox(random);
    const plaintext = random.bytes(random.below(100));
    const sealed = sealXChaCha(box, plaintext);
    assert.equal(sealed.length, plaintext.length + 16);
    assert.deepEqual(openXChaCha(box, sealed), plaintext, `seed ${seed}`);
    for (const part of [box.key, box.nonce, box.associated, sealed]) {
      if (part.length === 0) continue;
      const [at, bit] = [random.below(part.length), 1 << random.below(8)];
      part[at] = (part[at] ?? 0) ^ bit;
      assert.equal(openXChaCha(box, sealed), undefined, `seed ${seed}`);
      part[at] = (part[at] ?? 0) ^ bit;
    }
    assert.deepEqual(openXChaCha(box, sealed), plaintext, `seed ${seed}`);
  }
});

test("all 24 bytes of the nonce count, the first 16 in the key", () => {
  const box = drawBox(new SeededRandom(1));
  const sealed = sealXChaCha(box, new Uint8Array(32));
  for (let at = 0; at < 24; at++) {
    const nonce = box.nonce.slice();
    nonce[at] = (nonce[at] ?? 0) ^ 1;
    assert.notDeepEqual(sealXChaCha({ ...box, nonce }, new Uint8Array(32)), sealed, `byte ${at}`);
  }
});

test("the key made of key and nonce is wiped, whether the box opens or not", () => {
  const used: Uint8Array[] = [];
  const watched: Crypto = {
    ...crypto,
    seal(key, ...rest) {
      used.push(key);
      return crypto.seal(key, ...rest);
    },
    open(key, ...rest) {
      used.push(key);
      return crypto.open(key, ...rest);
    },
  };
  const box = { ...drawBox(new SeededRandom(1)), crypto: watched };
  const sealed = sealXChaCha(box, new Uint8Array(16));
  openXChaCha(box, sealed);
  openXChaCha(box, new Uint8Array(3));
  assert.deepEqual(used, [new Uint8Array(32), new Uint8Array(32), new Uint8Array(32)]);
});

test("wrong lengths are refused", () => {
  const box = drawBox(new SeededRandom(1));
  for (const length of [0, 12, 23, 25]) assert.throws(() => sealXChaCha({ ...box, nonce: new Uint8Array(length) }, box.key), RangeError);
  assert.throws(() => hchacha20(new Uint8Array(31), new Uint8Array(16)), RangeError);
  assert.throws(() => hchacha20(new Uint8Array(32), new Uint8Array(24)), RangeError);
});
