import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@mesh/core/testing";
import { encodeRelayFrame, RelayFrameReader } from "./relay-frames.ts";

/** What was read, packets as numbers of their bytes. */
function reader(): { readonly frames: RelayFrameReader; readonly got: (readonly number[] | string)[] } {
  const got: (readonly number[] | string)[] = [];
  const frames = new RelayFrameReader({
    onPacket: (packet) => void got.push([...packet]),
    onRefused: (count) => void got.push(`refused ${count}`),
  });
  return { frames, got };
}

test("the length stands first, big-endian", () => {
  assert.deepEqual([...encodeRelayFrame(new Uint8Array(0x0102)).subarray(0, 3)], [1, 2, 0]);
  assert.equal(encodeRelayFrame(new Uint8Array(65_535)).length, 65_537);
});

test("packets and refusals, in one piece", () => {
  const { frames, got } = reader();
  frames.push(
    Buffer.concat([encodeRelayFrame(Uint8Array.of(1, 2, 3)), Buffer.from("000001020304", "hex"), encodeRelayFrame(Uint8Array.of(9))]),
  );
  assert.deepEqual(got, [[1, 2, 3], "refused 16909060", [9]]);
});

test("nothing comes of a frame before its last byte, wherever it is cut", () => {
  const stream = Buffer.concat([encodeRelayFrame(Uint8Array.of(1, 2, 3)), Buffer.from("000000000007", "hex")]);
  for (let at = 0; at <= stream.length; at++) {
    const { frames, got } = reader();
    frames.push(stream.subarray(0, at));
    assert.equal(got.length, at < 5 ? 0 : at < stream.length ? 1 : 2);
    frames.push(stream.subarray(at));
    assert.deepEqual(got, [[1, 2, 3], "refused 7"]);
  }
});

for (const seed of [1, 2, 3]) {
  test(`20,000 packets chopped at random come out as they went in, seed ${seed}`, () => {
    const random = new SeededRandom(seed);
    const { frames, got } = reader();
    const packets = Array.from({ length: 20_000 }, () => random.bytes(1 + random.below(8)));
    const stream = Buffer.concat(packets.map(encodeRelayFrame));
    for (let at = 0; at < stream.length; ) {
      const end = at + random.below(60);
      frames.push(stream.subarray(at, end));
      at = end;
    }
    assert.equal(got.length, packets.length);
    assert.ok(got.every((packet, i) => String(packet) === String(packets[i])));
  });
}
