import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { frameDocument, unframeDocument } from "./document-frame.ts";

const PAYLOAD = Uint8Array.from({ length: 70 }, (_, i) => i);

/** mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

describe("document frame", () => {
  test("round trip, the empty payload included", () => {
    for (const payload of [PAYLOAD, new Uint8Array(0), randomBytes(100_000)]) {
      const unframed = unframeDocument("node", frameDocument("node", payload));
      assert.ok(unframed.ok);
      assert.deepEqual(Buffer.from(unframed.payload), Buffer.from(payload));
    }
  });

  test("layout is as documented", () => {
    const head = Buffer.concat([Buffer.from("meshdoc\0"), Buffer.of(1, 4), Buffer.from("node"), Buffer.of(0, 0, 0, 70)]);
    const frame = Buffer.from(frameDocument("node", PAYLOAD));
    assert.deepEqual(frame.subarray(0, head.length), head);
    assert.deepEqual(frame.subarray(head.length, head.length + 70), Buffer.from(PAYLOAD));
    assert.equal(frame.length, head.length + 70 + 32);
  });

  test("every truncation is refused", () => {
    const frame = frameDocument("node", PAYLOAD);
    for (let length = 0; length < frame.length; length++) {
      const unframed = unframeDocument("node", frame.subarray(0, length));
      assert.ok(!unframed.ok, `cut to ${length}`);
      assert.match(unframed.reason, length === 0 ? /empty/ : /cut short/, `cut to ${length}`);
    }
  });

  test("one byte more is refused", () => {
    const unframed = unframeDocument("node", Buffer.concat([frameDocument("node", PAYLOAD), Buffer.of(0)]));
    assert.deepEqual(unframed, { ok: false, reason: "has bytes after its end" });
  });

  test("every flipped bit is refused", () => {
    const frame = frameDocument("node", PAYLOAD);
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const flipped = Uint8Array.from(frame);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(unframeDocument("node", flipped).ok, false, `bit ${bit}`);
    }
  });

  test("another document's, another version's and a foreign file say what they are", () => {
    const reason = (bytes: Uint8Array): string => {
      const unframed = unframeDocument("node", bytes);
      assert.ok(!unframed.ok);
      return unframed.reason;
    };
    assert.match(reason(frameDocument("root", PAYLOAD)), /does not hold the document "node"/);
    const future = frameDocument("node", PAYLOAD);
    future[8] = 2;
    assert.match(reason(future), /version 2/);
    assert.match(reason(Buffer.from("#!/bin/sh\necho this is somebody else's file, long enough to be one of ours\n")), /not one of/);
  });

  test("20,000 random inputs, seed 1: refused, never thrown", () => {
    const random = seeded(1);
    const frame = frameDocument("records", PAYLOAD);
    for (let i = 0; i < 20_000; i++) {
      const bytes = i % 2 === 0 ? Uint8Array.from({ length: random() % 200 }, () => random()) : Uint8Array.from(frame);
      if (i % 2 === 1) for (let n = 0; n <= random() % 4; n++) bytes[random() % bytes.length] = random();
      if (i % 2 === 1 && Buffer.from(frame).equals(bytes)) continue;
      assert.equal(unframeDocument("records", bytes).ok, false, `input ${i}`);
    }
  });
});
