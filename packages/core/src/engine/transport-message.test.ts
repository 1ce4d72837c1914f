import assert from "node:assert/strict";
import { test } from "node:test";
import { datagramKind } from "../wire/datagram-kind.ts";
import { paddingBytes, readTransportHeader, transportNonce, writeTransport } from "./transport-message.ts";

test("a header goes round, to the ends of its numbers", () => {
  for (const header of [
    { receiverIndex: 0, counter: 0n },
    { receiverIndex: 0xffff_ffff, counter: 2n ** 64n - 1n },
    { receiverIndex: 0x0102_0304, counter: 0x0102_0304_0506_0708n },
  ]) {
    const datagram = writeTransport(header, new Uint8Array(16).fill(7));
    assert.equal(datagram.length, 32);
    assert.equal(datagramKind(datagram), "transport");
    assert.deepEqual(readTransportHeader(datagram), header);
  }
});

test("byte for byte as in the whitepaper, section 5.4.6", () => {
  const datagram = writeTransport({ receiverIndex: 0x0403_0201, counter: 0x0c0b_0a09_0807_0605n }, Uint8Array.of(0xaa));
  assert.deepEqual([...datagram], [4, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0xaa]);
  assert.deepEqual([...transportNonce(0x0c0b_0a09_0807_0605n)], [0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12]);
});

test("padding goes to 16 and not beyond the MTU", () => {
  for (const [length, mtu, padding] of [
    [0, 1420, 0],
    [1, 1420, 15],
    [16, 1420, 0],
    [1400, 1420, 8],
    [1409, 1420, 11],
    [1420, 1420, 0],
    [1421, 1420, 15],
    [2840, 1420, 0],
    [2841, 1420, 15],
  ] as const)
    assert.equal(paddingBytes(length, mtu), padding, `${length} of ${mtu}`);
});
