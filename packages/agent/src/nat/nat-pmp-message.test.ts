import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "@mesh/core/ports";
import { SeededRandom } from "@mesh/core/testing";
import { randomInput } from "../../../core/src/bytes/check-codec-fixture.ts";
import { decodeNatPmpResponse, encodeNatPmpRequest, encodeNatPmpResponse, type NatPmpResponse } from "./nat-pmp-message.ts";

const samples: readonly NatPmpResponse[] = [
  { type: "address", epoch: 0xffff_ffff, ip: "11.22.33.2" as Ip },
  { type: "map", epoch: 1, internalPort: 51_820, externalPort: 40_000, lifetime: 7_200 },
  { type: "map", epoch: 0, internalPort: 65_535, externalPort: 0, lifetime: 0xffff_ffff },
  { type: "refused", to: "map", result: 65_535, epoch: 5 },
  { type: "refused", to: "address", result: 3, epoch: 0 },
];

test("requests have the bytes of RFC 6886 sections 3.2 and 3.3", () => {
  assert.deepEqual(encodeNatPmpRequest({ type: "address" }), Uint8Array.of(0, 0));
  const map = encodeNatPmpRequest({ type: "map", internalPort: 51_820, externalPort: 40_000, lifetime: 7_200 });
  assert.equal(Buffer.from(map).toString("hex"), "00010000ca6c9c4000001c20");
});

test("responses come back from their bytes", () => {
  for (const sample of samples) assert.deepEqual(decodeNatPmpResponse(encodeNatPmpResponse(sample)), sample);
});

test("an error is understood whether the rest follows it or not", () => {
  const bytes = Buffer.concat([encodeNatPmpResponse({ type: "refused", to: "map", result: 2, epoch: 7 }), new Uint8Array(8)]);
  for (let length = 8; length <= 16; length++)
    assert.deepEqual(decodeNatPmpResponse(bytes.subarray(0, length)), { type: "refused", to: "map", result: 2, epoch: 7 });
});

test("every truncation is refused, and one byte more", () => {
  for (const sample of samples) {
    const bytes = encodeNatPmpResponse(sample);
    for (let length = 0; length < bytes.length; length++) assert.equal(decodeNatPmpResponse(bytes.subarray(0, length)), undefined);
    if (sample.type !== "refused") assert.equal(decodeNatPmpResponse(Uint8Array.of(...bytes, 0)), undefined);
  }
});

test("other versions and operations are no answers, nor are requests", () => {
  const bytes = encodeNatPmpResponse({ type: "address", epoch: 1, ip: "11.22.33.2" as Ip });
  for (const version of [1, 2, 255]) assert.equal(decodeNatPmpResponse(bytes.map((byte, i) => (i === 0 ? version : byte))), undefined);
  for (const op of [0, 1, 2, 130, 255]) assert.equal(decodeNatPmpResponse(bytes.map((byte, i) => (i === 1 ? op : byte))), undefined);
});

test("seed 1: 20,000 random inputs are no answer, or one that comes back from its own bytes", () => {
  const random = new SeededRandom(1);
  const bases = samples.map((sample) => Uint8Array.from(encodeNatPmpResponse(sample)));
  let taken = 0;
  for (let run = 0; run < 20_000; run++) {
    const decoded = decodeNatPmpResponse(randomInput(random, bases));
    if (decoded === undefined) continue;
    taken++;
    assert.deepEqual(decodeNatPmpResponse(encodeNatPmpResponse(decoded)), decoded, `run ${run}`);
  }
  assert.ok(taken > 2_000, `${taken} taken`);
});
