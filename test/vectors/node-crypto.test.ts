import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "@mesh/core/node-crypto";
import { hex, readVectors } from "./read-vectors.ts";

const crypto = nodeCrypto();

interface AeadFile {
  readonly numberOfTests: number;
  readonly testGroups: readonly {
    readonly ivSize: number;
    readonly keySize: number;
    readonly tagSize: number;
    readonly tests: readonly AeadTest[];
  }[];
}

interface AeadTest {
  readonly tcId: number;
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
  readonly result: "valid" | "invalid" | "acceptable";
}

test("ChaCha20-Poly1305: Wycheproof", () => {
  const file = readVectors<AeadFile>("wycheproof-chacha20-poly1305.json");
  let ran = 0;
  for (const group of file.testGroups) {
    for (const { tcId, result, ...fields } of group.tests) {
      const { key, iv, aad, msg, ct, tag } = fields;
      const sealed = hex(ct + tag);
      ran++;
      if (group.ivSize !== 96 || group.keySize !== 256 || group.tagSize !== 128) {
        assert.throws(() => crypto.seal(hex(key), hex(iv), hex(aad), hex(msg)), `test ${tcId}`);
        assert.throws(() => crypto.open(hex(key), hex(iv), hex(aad), sealed), `test ${tcId}`);
      } else if (result === "valid") {
        assert.deepEqual(crypto.seal(hex(key), hex(iv), hex(aad), hex(msg)), sealed, `test ${tcId}`);
        assert.deepEqual(crypto.open(hex(key), hex(iv), hex(aad), sealed), hex(msg), `test ${tcId}`);
      } else {
        assert.equal(crypto.open(hex(key), hex(iv), hex(aad), sealed), undefined, `test ${tcId}`);
      }
    }
  }
  assert.equal(ran, file.numberOfTests);
});

interface AgreementFile {
  readonly numberOfTests: number;
  readonly testGroups: readonly { readonly tests: readonly AgreementTest[] }[];
}

interface AgreementTest {
  readonly tcId: number;
  readonly public: string;
  readonly private: string;
  readonly shared: string;
}

test("X25519: Wycheproof, low-order public keys refused", () => {
  const file = readVectors<AgreementFile>("wycheproof-x25519.json");
  let ran = 0;
  let refused = 0;
  for (const { tcId, shared, ...keys } of file.testGroups.flatMap(({ tests }) => tests)) {
    const wanted = /^0+$/.test(shared) ? undefined : hex(shared);
    assert.deepEqual(crypto.agree(crypto.agreementKey(hex(keys.private)), hex(keys.public)), wanted, `test ${tcId}`);
    ran++;
    if (wanted === undefined) refused++;
  }
  assert.equal(ran, file.numberOfTests);
  assert.ok(refused > 10);
});

interface X25519File {
  readonly multiply: readonly { readonly scalar: string; readonly u: string; readonly result: string }[];
  readonly iterated: readonly { readonly rounds: number; readonly result: string }[];
  readonly agreement: Readonly<Record<"alicePrivate" | "alicePublic" | "bobPrivate" | "bobPublic" | "shared", string>>;
}

test("X25519: RFC 7748", () => {
  const { multiply, iterated, agreement } = readVectors<X25519File>("x25519-rfc7748.json");
  for (const { scalar, u, result } of multiply) assert.deepEqual(crypto.agree(crypto.agreementKey(hex(scalar)), hex(u)), hex(result));
  for (const { rounds, result } of iterated) {
    let k = hex(`09${"00".repeat(31)}`);
    let u = k;
    for (let i = 0; i < rounds; i++) [k, u] = [crypto.agree(crypto.agreementKey(k), u) ?? assert.fail(), k];
    assert.deepEqual(k, hex(result));
  }
  const alice = crypto.agreementKey(hex(agreement.alicePrivate));
  const bob = crypto.agreementKey(hex(agreement.bobPrivate));
  assert.deepEqual([alice.publicKey, bob.publicKey], [hex(agreement.alicePublic), hex(agreement.bobPublic)]);
  assert.deepEqual(crypto.agree(alice, bob.publicKey), hex(agreement.shared));
  assert.deepEqual(crypto.agree(bob, alice.publicKey), hex(agreement.shared));
});

interface Ed25519File {
  readonly tests: readonly Readonly<Record<"name" | "seed" | "publicKey" | "message" | "signature", string>>[];
}

test("Ed25519: RFC 8032", () => {
  for (const { name, ...fields } of readVectors<Ed25519File>("ed25519-rfc8032.json").tests) {
    const key = crypto.signingKey(hex(fields.seed));
    const message = hex(fields.message);
    const signature = hex(fields.signature);
    assert.deepEqual(key.publicKey, hex(fields.publicKey), name);
    assert.deepEqual(crypto.sign(key, message), signature, name);
    assert.ok(crypto.verify(key.publicKey, message, signature), name);
    assert.ok(!crypto.verify(key.publicKey, Uint8Array.of(...message, 0), signature), name);
    for (const bit of [0, 255, 256, 511]) {
      const forged = signature.slice();
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.ok(!crypto.verify(key.publicKey, message, forged), name);
    }
  }
});

interface ConversionFile {
  readonly tests: readonly Readonly<Record<"seed" | "publicKey" | "privateKey", string>>[];
}

test("Ed25519 to X25519: libsodium", () => {
  for (const { seed, publicKey, privateKey } of readVectors<ConversionFile>("ed25519-to-x25519.json").tests) {
    const key = crypto.signingKey(hex(seed));
    assert.deepEqual(crypto.agreementPublicKeyOf(key.publicKey), hex(publicKey));
    assert.deepEqual(crypto.agreementKeyOf(key).publicKey, hex(publicKey));
    const other = crypto.agreementKey(new Uint8Array(32).fill(7));
    assert.deepEqual(
      crypto.agree(crypto.agreementKeyOf(key), other.publicKey),
      crypto.agree(crypto.agreementKey(hex(privateKey)), other.publicKey),
    );
  }
});
