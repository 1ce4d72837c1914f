import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes } from "../bytes/bytes.ts";
import { randomInput } from "../bytes/check-codec-fixture.ts";
import { nodeId } from "../ids/node-id.ts";
import { crypto, keyOf, quickCrypto } from "../membership/sample-network-fixture.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type Envelope, MAX_RECORD_BYTES, openEnvelope, signRecord } from "./envelope.ts";

const key = keyOf("author");
const records: readonly Omit<Envelope, "author">[] = [
  { kind: 0, subject: new Uint8Array(), sequence: 0, body: [] },
  { kind: 255, subject: new Uint8Array(255).fill(1), sequence: Number.MAX_SAFE_INTEGER, body: [1, "a", Uint8Array.of(2), [[true, null]]] },
  { kind: 4, subject: new Uint8Array(32).fill(9), sequence: 1_790_000_000_000, body: [new Uint8Array(2_000)] },
];
const signed = records.map((record) => signRecord(crypto, key, record));

test("a record comes back from its bytes with its author", () => {
  for (const [i, record] of records.entries())
    assert.deepEqual(openEnvelope(crypto, signed[i] ?? assert.fail()), { ok: true, value: { ...record, author: nodeId(key.publicKey) } });
});

test("every truncation is refused, and one byte more, also where the lengths are made to fit", () => {
  for (const bytes of signed) {
    for (let length = 0; length < bytes.length; length++)
      assert.equal(openEnvelope(crypto, bytes.subarray(0, length)).ok, false, `length ${length}`);
    assert.deepEqual(openEnvelope(crypto, Uint8Array.of(...bytes, 0)), { ok: false, fault: "trailing-bytes" });
  }
});

test("no bit of a record can be flipped", () => {
  const bytes = signed[0] ?? assert.fail();
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(openEnvelope(crypto, flipped).ok, false, `bit ${bit}`);
  }
});

test("the signature covers a label: what the key signed elsewhere is no record", () => {
  const bytes = signed[0] ?? assert.fail();
  const unsigned = bytes.subarray(0, -64);
  assert.deepEqual(openEnvelope(crypto, concatBytes(unsigned, crypto.sign(key, unsigned))), { ok: false, fault: "bad-signature" });
  assert.deepEqual(openEnvelope(crypto, concatBytes(unsigned, crypto.sign(keyOf("another"), unsigned))), {
    ok: false,
    fault: "bad-signature",
  });
});

test("unknown versions are told apart; sequences above 2^53 - 1 and records above the bound are refused", () => {
  const bytes = signed[0] ?? assert.fail();
  assert.deepEqual(openEnvelope(crypto, Uint8Array.of(2, ...bytes.subarray(1))), { ok: false, fault: "unknown-version" });
  const late = bytes.slice();
  late[36] = 0x20; // 2^53
  assert.deepEqual(openEnvelope(crypto, late), { ok: false, fault: "out-of-range" });
  const body = (length: number): Uint8Array =>
    signRecord(crypto, key, { kind: 9, subject: new Uint8Array(), sequence: 1, body: [new Uint8Array(length)] });
  const room = MAX_RECORD_BYTES - body(300).length + 300;
  assert.equal(openEnvelope(crypto, body(room)).ok, true);
  assert.deepEqual(openEnvelope(crypto, body(room + 1)), { ok: false, fault: "too-long" });
});

test("a body that would be written otherwise is refused, though it is signed", () => {
  const bytes = signRecord(crypto, key, { kind: 9, subject: new Uint8Array(), sequence: 1, body: [5] });
  const at = bytes.length - 64 - 2;
  for (const body of [[0x91, 0xcc, 5], [0xdc, 0, 1, 5], [5], [0x91, 0xd4, 0, 0], []]) {
    const unsigned = concatBytes(bytes.subarray(0, at - 4), Uint8Array.of(0, 0, 0, body.length, ...body));
    const label = new TextEncoder().encode("mesh-record-1");
    const opened = openEnvelope(crypto, concatBytes(unsigned, crypto.sign(key, concatBytes(label, unsigned))));
    assert.ok(!opened.ok && opened.fault !== "bad-signature", body.join());
  }
});

test("seed 1: 20,000 random inputs either fail or are what the author signs", () => {
  const random = new SeededRandom(1);
  const samples = records.slice(0, 2).map((record) => signRecord(quickCrypto, key, record));
  for (let run = 0; run < 20_000; run++) {
    const bytes = randomInput(random, samples);
    const opened = openEnvelope(quickCrypto, bytes);
    if (opened.ok) assert.equal(Buffer.compare(signRecord(quickCrypto, key, opened.value), bytes), 0, `run ${run}`);
  }
});
