import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "@mesh/core/node-crypto";
import { NOISE_NAME, NoiseInitiator, type NoiseKeys, NoiseResponder } from "../../packages/core/src/session/noise-ikpsk2.ts";
import { hex, readVectors } from "./read-vectors.ts";

interface NoiseVector {
  readonly source: string;
  readonly init_prologue: string;
  readonly init_psk: string;
  readonly init_static: string;
  readonly init_ephemeral: string;
  readonly resp_static: string;
  readonly resp_ephemeral: string;
  readonly messages: readonly { readonly payload: string; readonly ciphertext: string }[];
}

const EPHEMERAL_END = 32;
const STATIC_END = EPHEMERAL_END + 48;

const crypto = nodeCrypto();
const file = readVectors<{ readonly name: string; readonly vectors: readonly NoiseVector[] }>("noise-ikpsk2.json");

for (const [number, vector] of file.vectors.entries()) {
  test(`${file.name}: vector ${number + 1}, from ${vector.source}`, () => {
    assert.equal(file.name, NOISE_NAME);
    const prologue = hex(vector.init_prologue);
    const presharedKey = hex(vector.init_psk);
    const initiatorKey = crypto.agreementKey(hex(vector.init_static));
    const responderKey = crypto.agreementKey(hex(vector.resp_static));
    const [first, second, ...transport] = vector.messages.map(({ payload, ciphertext }) => ({
      payload: hex(payload),
      ciphertext: hex(ciphertext),
    }));
    assert.ok(first !== undefined && second !== undefined);

    const initiator = new NoiseInitiator({
      crypto,
      prologue,
      staticKey: initiatorKey,
      ephemeralKey: crypto.agreementKey(hex(vector.init_ephemeral)),
      remoteStatic: responderKey.publicKey,
    });
    const message1 = initiator.write1(first.payload);
    assert.ok(message1 !== undefined);
    assert.deepEqual(message1.ephemeral, first.ciphertext.slice(0, EPHEMERAL_END));
    assert.deepEqual(message1.sealedStatic, first.ciphertext.slice(EPHEMERAL_END, STATIC_END));
    assert.deepEqual(message1.sealedPayload, first.ciphertext.slice(STATIC_END));

    const responder = new NoiseResponder({ crypto, prologue, staticKey: responderKey });
    const remoteStatic = responder.readStatic(message1);
    assert.deepEqual(remoteStatic, initiatorKey.publicKey);
    assert.deepEqual(responder.readPayload(message1, initiatorKey.publicKey), first.payload);
    const written = responder.write2(
      {
        ephemeralKey: crypto.agreementKey(hex(vector.resp_ephemeral)),
        remoteEphemeral: message1.ephemeral,
        remoteStatic: initiatorKey.publicKey,
        presharedKey,
      },
      second.payload,
    );
    assert.ok(written !== undefined);
    assert.deepEqual(written.message.ephemeral, second.ciphertext.slice(0, EPHEMERAL_END));
    assert.deepEqual(written.message.sealedPayload, second.ciphertext.slice(EPHEMERAL_END));

    const read = initiator.read2(written.message, presharedKey);
    assert.deepEqual(read, { payload: second.payload, keys: written.keys });
    for (const [i, { payload, ciphertext }] of transport.entries()) {
      assert.deepEqual(crypto.seal(keyOf(written.keys, i), transportNonce(i), new Uint8Array(0), payload), ciphertext, `transport ${i}`);
    }
  });
}

/** Transport messages take turns, the initiator begins. */
function keyOf(keys: NoiseKeys, i: number): Uint8Array {
  return i % 2 === 0 ? keys.fromInitiator : keys.fromResponder;
}

function transportNonce(i: number): Uint8Array {
  const nonce = new Uint8Array(12);
  nonce[4] = Math.floor(i / 2);
  return nonce;
}
