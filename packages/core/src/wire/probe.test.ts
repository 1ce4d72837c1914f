import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { concatBytes } from "../bytes/bytes.ts";
import { checkLengths, checkRandomInputs, checkRoundTrip, randomInput } from "../bytes/check-codec-fixture.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { datagramKind, MAX_OWN_DATAGRAM_BYTES } from "./datagram-kind.ts";
import {
  decodeProbeBody,
  decodeProbeFrame,
  encodeProbeBody,
  encodeProbeHeader,
  MAX_OFFERED,
  MAX_RECALL_AFTER,
  NO_BOOT,
  PROBE_BODY_BYTES,
  PROBE_HEADER_BYTES,
  type ProbeBody,
  type ProbeHeader,
} from "./probe.ts";

const fill = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);
const header: ProbeHeader = { keyId: fill(8, 1), bootId: fill(8, 2), counter: 0xfedc_ba98_7654_3210n };
const sealed = fill(PROBE_BODY_BYTES + 16, 7);
const bodies: readonly ProbeBody[] = [
  { type: "ping", transaction: fill(8, 1), purpose: "discover" },
  { type: "ping", transaction: fill(8, 255), purpose: "triggered" },
  { type: "ping", transaction: fill(8, 0), purpose: "heartbeat" },
  { type: "ping", transaction: fill(8, 3), purpose: "unheard" },
  { type: "ping", transaction: fill(8, 7), purpose: "sample" },
  { type: "ping", transaction: fill(8, 8), purpose: "nominate" },
  { type: "punch", step: "ask" },
  { type: "punch", step: "plan", ports: { kind: "sequence", ip: "192.0.2.1" as Ip, first: 30_001, delta: 2, count: 64 } },
  { type: "punch", step: "plan", ports: { kind: "range", ip: "192.0.2.1" as Ip, first: 1_024, delta: 1, count: 64_512 } },
  { type: "punch", step: "fresh", ports: { kind: "one", ip: "192.0.2.1" as Ip, first: 65_535, delta: 1, count: 1 } },
  { type: "locate", number: 65_535 },
  { type: "located", number: 1, ip: "192.0.2.9" as Ip },
  { type: "pong", transaction: fill(8, 2), observed: { ip: "192.0.2.1" as Ip, port: 65_535 }, delayMicros: 0xffff_ffff },
  { type: "pong", transaction: fill(8, 3), observed: { ip: "2001:db8::1" as Ip, port: 1 }, delayMicros: 0 },
  { type: "recall", token: fill(8, 4), afterMillis: 0 },
  { type: "recall", token: fill(8, 5), afterMillis: MAX_RECALL_AFTER },
  { type: "recalled", token: fill(8, 6) },
];
const FIELD_BYTES: Readonly<Record<ProbeBody["type"], number>> = {
  ping: 10,
  pong: 31,
  offer: 0,
  punch: 24,
  locate: 3,
  located: 19,
  recall: 13,
  recalled: 9,
};
const OFFER_BYTES = 256;
const ALL_ENDPOINTS = Array.from({ length: MAX_OFFERED }, (_, i) => endpoint(i + 1));
const offers: readonly ProbeBody[] = [
  { type: "offer", isAnswer: false, mapping: "unknown", to: NO_BOOT, reflexive: [], own: [] },
  { type: "offer", isAnswer: true, mapping: "none", to: fill(8, 9), reflexive: [], own: [endpoint(1)] },
  {
    type: "offer",
    isAnswer: false,
    mapping: "endpoint-independent",
    to: fill(8, 255),
    reflexive: [{ ip: "2001:db8::1" as Ip, port: 65_535 }],
    own: [endpoint(2)],
  },
  {
    type: "offer",
    isAnswer: true,
    mapping: "endpoint-dependent",
    to: fill(8, 3),
    reflexive: ALL_ENDPOINTS.slice(0, 4),
    own: ALL_ENDPOINTS.slice(4),
  },
];

function endpoint(last: number): Endpoint {
  return { ip: `192.0.2.${last}` as Ip, port: last };
}

test("a frame comes back from its bytes, and is a probe by its magic", () => {
  const bytes = concatBytes(encodeProbeHeader(header), sealed);
  assert.equal(bytes.length, PROBE_HEADER_BYTES + sealed.length);
  assert.equal(datagramKind(bytes), "probe");
  assert.deepEqual(decodeProbeFrame(bytes), { ok: true, value: { header, sealed } });
});

test("every truncation of a frame is refused; more bytes are a longer sealed body, up to the largest probe", () => {
  const bytes = concatBytes(encodeProbeHeader(header), sealed);
  for (let length = 0; length < bytes.length; length++)
    assert.deepEqual(decodeProbeFrame(bytes.subarray(0, length)), { ok: false, fault: "truncated" }, `length ${length}`);
  const largest = concatBytes(bytes, fill(MAX_OWN_DATAGRAM_BYTES - bytes.length, 9));
  assert.equal(decodeProbeFrame(largest).ok, true);
  assert.deepEqual(decodeProbeFrame(Uint8Array.of(...largest, 0)), { ok: false, fault: "too-long" });
});

test("another version and set reserved bytes are refused", () => {
  for (const [at, fault] of [
    [4, "unknown-version"],
    [5, "not-canonical"],
    [6, "not-canonical"],
    [7, "not-canonical"],
  ] as const) {
    const bytes = concatBytes(encodeProbeHeader(header), sealed);
    bytes[at] = 2;
    assert.deepEqual(decodeProbeFrame(bytes), { ok: false, fault });
  }
});

test("seed 1: 20,000 random frames either fail or encode back to themselves", () => {
  const random = new SeededRandom(1);
  const base = concatBytes(encodeProbeHeader(header), sealed);
  for (let run = 0; run < 20_000; run++) {
    const bytes = randomInput(random, [base]);
    bytes.set(base.subarray(0, Math.min(4, bytes.length))); // the caller has seen the magic
    const frame = decodeProbeFrame(bytes);
    if (frame.ok) assert.deepEqual(concatBytes(encodeProbeHeader(frame.value.header), frame.value.sealed), bytes, `run ${run}`);
  }
});

for (const [i, body] of bodies.entries()) {
  test(`body ${i}: a ${body.type} comes back from its ${PROBE_BODY_BYTES} bytes, also padded`, () => {
    const bytes = encodeProbeBody(body);
    assert.equal(bytes.length, PROBE_BODY_BYTES);
    assert.deepEqual(decodeProbeBody(bytes), { ok: true, value: body });
    assert.deepEqual(decodeProbeBody(concatBytes(bytes, new Uint8Array(1_000))), { ok: true, value: body });
  });

  test(`body ${i}: every truncation into its fields is refused, and every set byte of padding`, () => {
    const bytes = encodeProbeBody(body);
    const fieldBytes = body.type === "punch" && body.ports === undefined ? 2 : FIELD_BYTES[body.type];
    for (let length = 0; length < fieldBytes; length++)
      assert.equal(decodeProbeBody(bytes.subarray(0, length)).ok, false, `length ${length}`);
    for (let at = fieldBytes; at < PROBE_BODY_BYTES + 1; at++) {
      const padded = concatBytes(bytes, Uint8Array.of(0));
      padded[at] = 1;
      assert.deepEqual(decodeProbeBody(padded), { ok: false, fault: "not-canonical" }, `byte ${at}`);
    }
  });
}

test("an offer comes back from its bytes, and every one has the same size, so that its answer is no larger", () => {
  checkRoundTrip({ samples: offers, encode: encodeProbeBody, decode: decodeProbeBody });
  for (const offer of offers) assert.equal(encodeProbeBody(offer).length, OFFER_BYTES);
});

test("every truncation of an offer is refused, one byte more, and every set byte of padding", () => {
  checkLengths({ samples: offers, encode: encodeProbeBody, decode: decodeProbeBody });
  for (const offer of offers) {
    const bytes = encodeProbeBody(offer);
    for (let at = 13 + 18 * (offer.type === "offer" ? offer.reflexive.length + offer.own.length : 0); at < bytes.length; at++) {
      const padded = bytes.slice();
      padded[at] = 1;
      assert.deepEqual(decodeProbeBody(padded), { ok: false, fault: "not-canonical" }, `byte ${at}`);
    }
  }
});

test("an offer with another flag, too many endpoints or a port 0 is refused, and none is written with too many", () => {
  const [none = assert.fail(), one = assert.fail()] = offers.map(encodeProbeBody);
  for (const [at, value] of [
    [1, 2],
    [1, 255],
    [2, 4],
    [3, MAX_OFFERED + 1],
    [4, MAX_OFFERED + 1],
    [4, 255],
  ] as const)
    assert.deepEqual(decodeProbeBody(none.slice().fill(value, at, at + 1)), { ok: false, fault: "out-of-range" }, `${at}: ${value}`);
  assert.deepEqual(decodeProbeBody(one.slice().fill(0, 29, 31)), { ok: false, fault: "out-of-range" });
  const many = Array.from({ length: MAX_OFFERED + 1 }, (_, i) => endpoint(i + 1));
  assert.throws(
    () => encodeProbeBody({ type: "offer", isAnswer: false, mapping: "none", to: NO_BOOT, reflexive: [], own: many }),
    RangeError,
  );
});

test("seed 3: 20,000 random offers either fail or encode back to themselves", () => {
  checkRandomInputs({ samples: offers, encode: encodeProbeBody, decode: decodeOffer }, 3);
});

test("an offer in its frame is a datagram of our own", () => {
  assert.ok(PROBE_HEADER_BYTES + OFFER_BYTES + 16 <= MAX_OWN_DATAGRAM_BYTES);
});

/** Of bytes as long as an offer; other bodies may be longer than they are written. */
function decodeOffer(bytes: Uint8Array): ReturnType<typeof decodeProbeBody> | { readonly ok: false } {
  const body = decodeProbeBody(bytes);
  return body.ok && body.value.type !== "offer" ? { ok: false } : body;
}

test("a PONG that names port 0 is refused: it would stand in our own record", () => {
  const pong = encodeProbeBody({ type: "pong", transaction: fill(8, 2), observed: { ip: "192.0.2.1" as Ip, port: 1 }, delayMicros: 0 });
  const zero = pong.slice();
  zero[26] = 0;
  assert.deepEqual([decodeProbeBody(pong).ok, decodeProbeBody(zero)], [true, { ok: false, fault: "out-of-range" }]);
});

test("other types and purposes are refused", () => {
  for (const type of [0, 9, 255])
    assert.deepEqual(decodeProbeBody(fill(PROBE_BODY_BYTES, 0).fill(type, 0, 1)), { ok: false, fault: "unknown-kind" });
  for (const purpose of [6, 255])
    assert.deepEqual(decodeProbeBody(fill(PROBE_BODY_BYTES, 0).fill(1, 0, 1).fill(purpose, 9, 10)), { ok: false, fault: "out-of-range" });
});

test("seed 2: 20,000 random bodies either fail or encode back to themselves", () => {
  const random = new SeededRandom(2);
  let taken = 0;
  for (let run = 0; run < 20_000; run++) {
    const bytes = new Uint8Array(PROBE_BODY_BYTES);
    bytes.set(random.bytes(random.below(2) === 0 ? 31 : 9));
    bytes[0] = random.below(8);
    const body = decodeProbeBody(bytes);
    if (!body.ok) continue;
    taken++;
    assert.deepEqual(encodeProbeBody(body.value), bytes, `run ${run}`);
  }
  assert.ok(taken > 3_000, `${taken} taken`);
});

test("a recall for later than anybody remembers is refused", () => {
  const body = encodeProbeBody({ type: "recall", token: fill(8, 1), afterMillis: MAX_RECALL_AFTER + 1 });
  assert.deepEqual(decodeProbeBody(body), { ok: false, fault: "out-of-range" });
});
