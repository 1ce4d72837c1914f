import assert from "node:assert/strict";
import { test } from "node:test";
import { ipBytes, parseIp } from "../address/ip.ts";
import { encodeInnerPacket } from "../testing/inner-packet.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { readInnerHeader } from "./inner-header.ts";

const V4 = packet("10.0.0.1", "10.0.0.2");
const V6 = packet("fd00::1", "fd00::2");

test("length and addresses of both families; what follows is padding", () => {
  for (const [bytes, source, family] of [[V4, "10.0.0.1", 4] as const, [V6, "fd00::1", 6] as const]) {
    const padded = Uint8Array.of(...bytes, 0, 0, 0);
    const header = readInnerHeader(padded);
    assert.equal(header?.length, bytes.length);
    assert.equal(header.family, family);
    assert.deepEqual(Uint8Array.from(header.source), address(source));
  }
});

test("no header is whole when it is cut anywhere", () => {
  for (const bytes of [V4, V6]) {
    for (let length = 0; length < bytes.length; length++) assert.equal(readInnerHeader(bytes.subarray(0, length)), undefined, `${length}`);
  }
});

test("lengths that lie, short headers and other versions are none", () => {
  const lies: [Uint8Array, number, number][] = [
    [V4, 0, 0x44], // a header of 16 B
    [V4, 3, 19], // shorter than its header
    [V4, 3, V4.length + 1],
    [V4, 0, 0x4f], // a header longer than the packet
    [V4, 0, 0x55],
    [V4, 0, 0x05],
    [V6, 5, V6.length - 39],
    [V6, 4, 1],
    [V6, 0, 0x70],
  ];
  for (const [bytes, at, value] of lies) {
    const edited = bytes.slice();
    edited[at] = value;
    assert.equal(readInnerHeader(edited), undefined, `byte ${at} = ${value}`);
  }
});

test("an IPv4-mapped IPv6 address stays IPv6", () => {
  const bytes = V6.slice();
  bytes.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1], 8);
  assert.equal(readInnerHeader(bytes)?.source.length, 16);
});

test("20,000 random inputs, seed 1: never a throw, never longer than there is", () => {
  const random = new SeededRandom(1);
  for (let i = 0; i < 20_000; i++) {
    const bytes = random.bytes(random.below(64));
    if (bytes.length > 0 && random.next() < 0.8) bytes[0] = random.pick([0x45, 0x46, 0x60]) ?? 0;
    const header = readInnerHeader(bytes);
    if (header !== undefined) assert.ok(header.length >= (header.family === 4 ? 20 : 40) && header.length <= bytes.length);
  }
});

function packet(source: string, destination: string): Uint8Array {
  const [from, to] = [parseIp(source), parseIp(destination)];
  assert.ok(from !== undefined && to !== undefined);
  return encodeInnerPacket({ source: from, destination: to, payload: Uint8Array.of(1, 2, 3, 4) });
}

function address(text: string): Uint8Array {
  const ip = parseIp(text);
  assert.ok(ip !== undefined);
  return Uint8Array.from(ipBytes(ip));
}
