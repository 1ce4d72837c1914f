import assert from "node:assert/strict";
import { test } from "node:test";
import {
  COOKIE_REPLY_BYTES,
  decodeHandshakeMessage,
  encodeHandshakeMessage,
  type HandshakeMessage,
  INITIATION_BYTES,
  mac1Input,
  mac1Of,
  mac2Input,
  mac2Of,
  RESPONSE_BYTES,
  senderIndexOf,
} from "./handshake-message.ts";

const fill = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

const messages: readonly (readonly [HandshakeMessage, number])[] = [
  [
    {
      type: "initiation",
      senderIndex: 0xfedc_ba98,
      ephemeral: fill(32, 1),
      sealedStatic: fill(48, 2),
      sealedTimestamp: fill(28, 3),
      mac1: fill(16, 4),
      mac2: fill(16, 5),
    },
    INITIATION_BYTES,
  ],
  [
    {
      type: "response",
      senderIndex: 1,
      receiverIndex: 0xffff_ffff,
      ephemeral: fill(32, 1),
      sealedNothing: fill(16, 2),
      mac1: fill(16, 4),
      mac2: fill(16, 5),
    },
    RESPONSE_BYTES,
  ],
  [{ type: "cookie-reply", receiverIndex: 0x0102_0304, nonce: fill(24, 6), sealedCookie: fill(32, 7) }, COOKIE_REPLY_BYTES],
];

for (const [message, size] of messages) {
  test(`${message.type}: comes back from its ${size} bytes`, () => {
    const bytes = encodeHandshakeMessage(message);
    assert.equal(bytes.length, size);
    assert.deepEqual(decodeHandshakeMessage(bytes), { ok: true, value: message });
  });

  test(`${message.type}: every truncation is refused, and one byte more`, () => {
    const bytes = encodeHandshakeMessage(message);
    for (let length = 0; length < bytes.length; length++) {
      assert.deepEqual(decodeHandshakeMessage(bytes.subarray(0, length)), { ok: false, fault: "truncated" }, `length ${length}`);
    }
    assert.deepEqual(decodeHandshakeMessage(Uint8Array.of(...bytes, 0)), { ok: false, fault: "trailing-bytes" });
  });

  test(`${message.type}: no other type word is taken`, () => {
    const bytes = encodeHandshakeMessage(message);
    for (const at of [0, 1, 2, 3]) {
      const other = bytes.slice();
      other[at] = at === 0 ? 0 : 1;
      assert.deepEqual(decodeHandshakeMessage(other), { ok: false, fault: "unknown-kind" });
    }
  });
}

test("numbers are little-endian", () => {
  const bytes = encodeHandshakeMessage({ type: "cookie-reply", receiverIndex: 0x0102_0304, nonce: fill(24, 0), sealedCookie: fill(32, 0) });
  assert.deepEqual(bytes.slice(0, 8), Uint8Array.of(3, 0, 0, 0, 4, 3, 2, 1));
});

test("mac1 lies before mac2, each covers what lies before it, and both are written in place", () => {
  for (const [message, size] of messages.slice(0, 2)) {
    const bytes = encodeHandshakeMessage(message);
    assert.deepEqual(mac1Input(bytes), bytes.subarray(0, size - 32));
    assert.deepEqual(mac2Input(bytes), bytes.subarray(0, size - 16));
    mac1Of(bytes).set(fill(16, 9));
    mac2Of(bytes).set(fill(16, 8));
    assert.deepEqual(decodeHandshakeMessage(bytes), { ok: true, value: { ...message, mac1: fill(16, 9), mac2: fill(16, 8) } });
  }
});

test("the sender's index is read in place", () => {
  for (const [message] of messages.slice(0, 2)) {
    assert.ok(message.type !== "cookie-reply");
    const senderIndex = 0xfedc_ba98;
    assert.equal(senderIndexOf(encodeHandshakeMessage({ ...message, senderIndex })), senderIndex);
  }
});

test("seed 1: 20,000 random inputs either fail or encode back to themselves", () => {
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  };
  const sizes = [INITIATION_BYTES, RESPONSE_BYTES, COOKIE_REPLY_BYTES];
  let taken = 0;
  for (let run = 0; run < 20_000; run++) {
    const bytes = Uint8Array.from({ length: (sizes[run % 3] ?? 0) + (next() < 64 ? (next() % 5) - 2 : 0) }, next);
    bytes.set([next() % 5, 0, 0, next() < 8 ? 1 : 0]);
    const decoded = decodeHandshakeMessage(bytes);
    if (!decoded.ok) continue;
    taken++;
    assert.deepEqual(encodeHandshakeMessage(decoded.value), bytes, `run ${run}`);
  }
  assert.ok(taken > 2_000, `${taken} taken`);
});
