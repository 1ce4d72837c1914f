import assert from "node:assert/strict";
import { test } from "node:test";
import { randomInput } from "../bytes/check-codec-fixture.ts";
import { formatHex } from "../bytes/hex.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { datagramKind } from "./datagram-kind.ts";
import { encodeRelayHeader, RELAY_HEADER_BYTES, unwrapRelayed, wrapRelayed } from "./relay-header.ts";

const header = { from: 0x0102, to: 0x0304, pass: 0x0506_0708 };
const datagram = Uint8Array.of(9, 10, 11);

test("golden bytes of both kinds", () => {
  assert.equal(formatHex(encodeRelayHeader("to-relay", header)), "226d73680102030405060708");
  assert.equal(formatHex(wrapRelayed("from-relay", { ...header, pass: 0 }, datagram)), "236d736801020304000000000" + "90a0b");
});

test("what is wrapped comes back, of either kind, with the largest numbers", () => {
  for (const leg of ["to-relay", "from-relay"] as const) {
    for (const one of [header, { from: 0xffff, to: 0xffff, pass: 0xffff_ffff }, { from: 0, to: 0, pass: 0 }]) {
      const bytes = wrapRelayed(leg, one, datagram);
      assert.equal(datagramKind(bytes), leg);
      assert.deepEqual(unwrapRelayed(bytes), { header: one, datagram });
    }
  }
});

test("a header that is cut, or with nothing behind it, is none", () => {
  const bytes = wrapRelayed("to-relay", header, datagram);
  for (let length = 0; length <= RELAY_HEADER_BYTES; length++)
    assert.equal(unwrapRelayed(bytes.subarray(0, length)), undefined, `${length} B`);
  assert.deepEqual(unwrapRelayed(bytes.subarray(0, RELAY_HEADER_BYTES + 1))?.datagram, Uint8Array.of(9));
});

test("20,000 random inputs, seed 1: each is none or wraps to itself again", () => {
  const random = new SeededRandom(1);
  const bases = [wrapRelayed("to-relay", header, datagram), wrapRelayed("from-relay", header, random.bytes(200))];
  for (let run = 0; run < 20_000; run++) {
    const bytes = randomInput(random, bases);
    const kind = datagramKind(bytes);
    if (kind !== "to-relay" && kind !== "from-relay") continue;
    const unwrapped = unwrapRelayed(bytes);
    if (unwrapped === undefined) assert.ok(bytes.length <= RELAY_HEADER_BYTES);
    else assert.equal(Buffer.compare(wrapRelayed(kind, unwrapped.header, unwrapped.datagram), bytes), 0, `run ${run}`);
  }
});
