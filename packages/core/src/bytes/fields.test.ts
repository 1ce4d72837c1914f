import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { concatBytes } from "./bytes.ts";
import { type CheckedCodec, checkLengths, checkRandomInputs, checkRoundTrip } from "./check-codec-fixture.ts";
import { type Field, FieldReader, packFields, unpackFields } from "./fields.ts";

const samples: readonly (readonly Field[])[] = [
  [],
  [null, true, false],
  [0, 1, 127, 128, 255, 256, 65_535, 65_536, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER],
  [-1, -32, -33, -128, -129, -32_768, -32_769, -2_147_483_648, -2_147_483_649, 0.5, -1e300],
  ["", "a", "laptop-b", "größe", "x".repeat(31), "x".repeat(32), "x".repeat(255), "\u{1f600}".repeat(100)],
  [new Uint8Array(), Uint8Array.of(1, 2, 3), new Uint8Array(300).fill(7)],
  [[], [[]], [[1, [2, [3]]]], Array.from({ length: 20 }, (_, i) => i)],
];
const codec: CheckedCodec<readonly Field[]> = { samples, encode: packFields, decode: unpackFields };

test("fields come back from their bytes", () => checkRoundTrip(codec));
test("every truncation is refused, and one byte more", () => checkLengths(codec));
test("seed 1: 20,000 random inputs either fail or encode back to themselves", () => checkRandomInputs(codec, 1));

test("seed 2: 20,000 random MessagePack trees, mostly of other encodings, either fail or encode back to themselves", () => {
  const random = new SeededRandom(2);
  let taken = 0;
  for (let run = 0; run < 20_000; run++) {
    const bytes = concatBytes(Uint8Array.of(0x91), randomTree(random, 0));
    const unpacked = unpackFields(bytes);
    if (!unpacked.ok) continue;
    taken++;
    assert.deepEqual(packFields(unpacked.value), bytes, `run ${run}`);
  }
  assert.ok(taken > 2_000, `${taken} taken`);
});

/** One value in MessagePack, of every token there is, as a hostile author may write it. */
function randomTree(random: SeededRandom, depth: number): Uint8Array {
  const token = depth > 6 || random.below(3) === 0 ? random.below(128) : 0x80 + random.below(128);
  const inner = (count: number): Uint8Array[] => Array.from({ length: count }, () => randomTree(random, depth + 1));
  if (token >= 0x80 && token < 0x90) return concatBytes(Uint8Array.of(token & 0x83), ...inner((token & 3) * 2));
  if (token >= 0x90 && token < 0xa0) return concatBytes(Uint8Array.of(token & 0x93), ...inner(token & 3));
  if (token >= 0xa0 && token < 0xc0) return concatBytes(Uint8Array.of(token), random.bytes(token - 0xa0));
  const sizes: Readonly<Record<number, number>> = { 202: 4, 203: 8, 204: 1, 205: 2, 206: 4, 207: 8, 208: 1, 209: 2, 210: 4, 211: 8 };
  const exts: Readonly<Record<number, number>> = { 212: 2, 213: 3, 214: 5, 215: 9, 216: 17 };
  const size = sizes[token] ?? exts[token];
  if (size !== undefined) return concatBytes(Uint8Array.of(token), random.bytes(size), ...(token > 0xd3 ? inner(random.below(3)) : []));
  const length = random.below(5);
  if (token === 0xc4 || token === 0xd9) return concatBytes(Uint8Array.of(token, length), random.bytes(length));
  if (token === 0xc7) return concatBytes(Uint8Array.of(token, length), random.bytes(length + 1));
  if (token === 0xdc) return concatBytes(Uint8Array.of(token, 0, length), ...inner(length));
  if (token === 0xde) return concatBytes(Uint8Array.of(token, 0, length), ...inner(length * 2));
  return Uint8Array.of(token);
}

const refused: Readonly<Record<string, readonly number[]>> = {
  "no array at the top": [0x01],
  "a map": [0x91, 0x81, 0xa1, 0x61, 0x01],
  "a map with the key __proto__": [0x91, 0x81, 0xa9, ...Buffer.from("__proto__"), 0x01],
  "an extension": [0x91, 0xd4, 0x01, 0x00],
  "an undefined": [0x91, 0xd4, 0x00, 0x00],
  "a timestamp": [0x91, 0xd6, 0xff, 0, 0, 0, 0],
  "a set": [0x91, 0xd4, 0x73, 0, 0x91, 0x01],
  "a regular expression": [0x91, 0xd4, 0x78, 0, 0x92, 0xa1, 0x61, 0xa0],
  "an error whose class is named toString": [0x91, 0xd4, 0x65, 0, 0x92, 0xa8, ...Buffer.from("toString"), 0xa0],
  "a big integer": [0x91, 0xc7, 1, 0x42, 5],
  "a byte array as an extension": [0x91, 0xc7, 2, 0x74, 1, 5],
  "a reference to itself": [0x91, 0xd6, 0x69, 0, 0, 0, 1, 0x91, 0xd6, 0x70, 0, 0, 0, 1],
  "a record definition": [0x91, 0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01],
  "the token that is never used": [0x91, 0xc1],
  "a whole number as uint8 where it fits in the token": [0x91, 0xcc, 5],
  "a whole number as uint64": [0x91, 0xcf, 0, 0, 0, 0, 0, 0, 0, 5],
  "a number beyond 2^53 as uint64": [0x91, 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  "a whole number as a double": [0x91, 0xcb, 0x40, 0x14, 0, 0, 0, 0, 0, 0],
  "a single-precision number": [0x91, 0xca, 0x3f, 0, 0, 0],
  "minus zero": [0x91, 0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0],
  "not a number": [0x91, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
  "not a number, with a payload": [0x91, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1],
  "a text with a longer length than it needs": [0x91, 0xd9, 1, 0x61],
  "an array with a longer length than it needs": [0xdc, 0, 1, 0x01],
  "bytes with a longer length than they need": [0x91, 0xc5, 0, 1, 7],
  "a text that is not UTF-8": [0x91, 0xa2, 0xc3, 0x28],
  "a text with a surrogate": [0x91, 0xa3, 0xed, 0xa0, 0x80],
  "a text with an overlong zero": [0x91, 0xa2, 0xc0, 0x80],
  "2^32 - 1 entries that are not there": [0xdd, 0xff, 0xff, 0xff, 0xff],
  "2^32 - 1 bytes that are not there": [0x91, 0xc6, 0xff, 0xff, 0xff, 0xff],
  "2^32 - 1 bytes of text that are not there": [0x91, 0xdb, 0xff, 0xff, 0xff, 0xff],
  "2^32 - 1 map entries that are not there": [0x91, 0xdf, 0xff, 0xff, 0xff, 0xff],
  "2^32 - 1 bytes of extension that are not there": [0x91, 0xc9, 0xff, 0xff, 0xff, 0xff, 1],
};
for (const [what, bytes] of Object.entries(refused)) {
  test(`${what} is refused, every time`, () => {
    for (let run = 0; run < 200; run++) assert.equal(unpackFields(Uint8Array.from(bytes)).ok, false, `run ${run}`);
  });
}

test("nesting is taken to depth 8 and refused beyond, up to a body full of it", () => {
  const nested = (depth: number): Uint8Array => Uint8Array.of(...new Array<number>(depth).fill(0x91), 0x90);
  assert.ok(unpackFields(nested(7)).ok);
  for (const depth of [8, 9, 100, 8_190]) assert.equal(unpackFields(nested(depth)).ok, false, `depth ${depth}`);
});

test("8 KiB of one token, whichever it is, is refused in little memory", () => {
  for (let token = 0x80; token < 256; token++) assert.equal(unpackFields(new Uint8Array(8_192).fill(token)).ok, false, `token ${token}`);
});

test("many arrays that each promise thousands of entries cost no memory for them", () => {
  const bytes = new Uint8Array(8_190);
  for (let offset = 0; offset < bytes.length; offset += 5) bytes.set([0xdd, 0, 0, 0x1f, 0xff], offset);
  const before = process.memoryUsage().heapUsed;
  for (let run = 0; run < 20; run++) assert.equal(unpackFields(bytes).ok, false);
  assert.ok(process.memoryUsage().heapUsed - before < 32 * 1024 * 1024);
});

test("what a hostile body defined plays no part in the next body", () => {
  unpackFields(Uint8Array.from([0x92, 0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01, 0xc1]));
  assert.deepEqual(unpackFields(packFields([0x40, 0x41])), { ok: true, value: [0x40, 0x41] });
});

test("bytes unpacked are a copy of their own", () => {
  const bytes = packFields([Uint8Array.of(1, 2, 3)]);
  const unpacked = unpackFields(bytes);
  bytes.fill(0);
  assert.deepEqual(unpacked, { ok: true, value: [Uint8Array.of(1, 2, 3)] });
});

test("a reader takes fields by position", () => {
  const reader = new FieldReader(["a", Uint8Array.of(1), Uint8Array.of(2, 3), 7, true, [[1], [2]]]);
  const value = [
    reader.text(1),
    reader.bytes(1),
    reader.bytesUpTo(4),
    reader.whole(0, 7),
    reader.flag(),
    reader.list(2, (entry) => entry.whole(1, 2)),
  ];
  assert.deepEqual(reader.finish(value), { ok: true, value: ["a", Uint8Array.of(1), Uint8Array.of(2, 3), 7, true, [1, 2]] });
});

test("a missing field and a field too many are told", () => {
  const short = new FieldReader([]);
  assert.deepEqual(short.finish(short.whole(3, 9)), { ok: false, fault: "truncated" });
  assert.deepEqual(new FieldReader([1]).finish(0), { ok: false, fault: "trailing-bytes" });
});

const wrong: Readonly<Record<string, readonly [Field, (reader: FieldReader) => unknown]>> = {
  "a text longer in UTF-8 than allowed": ["ééé", (reader) => reader.text(5)],
  "a number as text": [1, (reader) => reader.text(5)],
  "bytes of another length": [Uint8Array.of(1), (reader) => reader.bytes(2)],
  "bytes longer than allowed": [Uint8Array.of(1, 2), (reader) => reader.bytesUpTo(1)],
  "a text as bytes": ["a", (reader) => reader.bytesUpTo(1)],
  "a number below": [0, (reader) => reader.whole(1, 9)],
  "a number above": [10, (reader) => reader.whole(1, 9)],
  "a fraction": [1.5, (reader) => reader.whole(1, 9)],
  infinity: [Number.POSITIVE_INFINITY, (reader) => reader.whole(1, Number.MAX_SAFE_INTEGER)],
  "a number as flag": [1, (reader) => reader.flag()],
  "a list too long": [[[], []], (reader) => reader.list(1, () => 0)],
  "an entry that is no list": [[1], (reader) => reader.list(1, () => 0)],
  "an entry with a field too many": [[[1]], (reader) => reader.list(1, () => 0)],
  "an entry with a field of a wrong kind": [[["a"]], (reader) => reader.list(1, (entry) => entry.flag())],
};
for (const [what, [field, read]] of Object.entries(wrong)) {
  test(`reading refuses ${what}`, () => {
    const reader = new FieldReader([field]);
    read(reader);
    assert.equal(reader.finish(0).ok, false);
  });
}
