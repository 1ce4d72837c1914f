import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SeededRandom } from "@mesh/core/testing";
import { decodeHello, encodeHello, HELLO_BYTES, NONCE_BYTES } from "./gossip-hello.ts";

const nonce = Uint8Array.from({ length: NONCE_BYTES }, (_, i) => i);

describe("gossip hello", () => {
  it("comes back as it went, both kinds", () => {
    for (const kind of ["question", "answer"] as const) {
      const bytes = encodeHello({ kind, nonce });
      assert.equal(bytes.length, HELLO_BYTES);
      assert.deepEqual(decodeHello(bytes), { kind, nonce });
    }
    assert.equal(Buffer.from(encodeHello({ kind: "answer", nonce })).toString("hex"), "0002000102030405060708090a0b0c0d0e0f");
  });

  it("is nothing when it is shorter, longer, of another kind, or a record", () => {
    const bytes = encodeHello({ kind: "question", nonce });
    for (let length = 0; length < bytes.length; length++) assert.equal(decodeHello(bytes.subarray(0, length)), undefined);
    assert.equal(decodeHello(Buffer.concat([bytes, Buffer.of(0)])), undefined);
    for (const [at, value] of [
      [0, 1],
      [1, 0],
      [1, 3],
      [1, 255],
    ] as const)
      assert.equal(decodeHello(bytes.with(at, value)), undefined);
  });

  it("takes 20,000 random inputs for nothing, or reads what encodes to the same bytes (seed 3)", () => {
    const random = new SeededRandom(3);
    for (let i = 0; i < 20_000; i++) {
      const bytes = Uint8Array.from({ length: Math.floor(random.next() * 24) }, () => Math.floor(random.next() * 256));
      if (i % 4 === 0) bytes.set([0, 1 + (i % 3)].slice(0, bytes.length));
      const hello = decodeHello(bytes);
      if (hello !== undefined) assert.deepEqual(encodeHello(hello), bytes);
    }
  });
});
