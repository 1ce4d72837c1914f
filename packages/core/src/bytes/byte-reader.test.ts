import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";

const written = new ByteWriter().u8(1).u16(0x0203).u32(0x0405_0607).u64(0x0809_0a0b_0c0d_0e0fn).bytes(Uint8Array.of(16, 17)).finish();

function readAll(bytes: Uint8Array): unknown {
  const reader = new ByteReader(bytes);
  return reader.finish([reader.u8(), reader.u16(), reader.u32(), reader.u64(), reader.bytes(2)]);
}

test("numbers are written and read in network order", () => {
  assert.deepEqual(
    written,
    Uint8Array.from({ length: 17 }, (_, i) => i + 1),
  );
  assert.deepEqual(readAll(written), { ok: true, value: [1, 0x0203, 0x0405_0607, 0x0809_0a0b_0c0d_0e0fn, Uint8Array.of(16, 17)] });
});

test("every truncation is told, and one byte more", () => {
  for (let length = 0; length < written.length; length++)
    assert.deepEqual(readAll(written.subarray(0, length)), { ok: false, fault: "truncated" }, `length ${length}`);
  assert.deepEqual(readAll(Uint8Array.of(...written, 0)), { ok: false, fault: "trailing-bytes" });
});

test("the greatest numbers come back", () => {
  const bytes = new ByteWriter().u8(255).u16(65_535).u32(0xffff_ffff).u64(0xffff_ffff_ffff_ffffn).finish();
  const reader = new ByteReader(bytes);
  assert.deepEqual([reader.u8(), reader.u16(), reader.u32(), reader.u64()], [255, 65_535, 0xffff_ffff, 0xffff_ffff_ffff_ffffn]);
});

test("once short, it stays short: later reads yield zeros, and a huge length costs little", () => {
  const reader = new ByteReader(Uint8Array.of(1, 2, 3));
  assert.equal(reader.u32(), 0);
  assert.equal(reader.u8(), 0);
  assert.equal(reader.isShort, true);
  assert.equal(reader.bytes(0xffff_ffff).length, 65_536);
  assert.deepEqual(reader.finish(0), { ok: false, fault: "truncated" });
});

test("bytes read are a copy, and a view into larger memory is read from its own start", () => {
  const memory = Uint8Array.of(9, 9, 1, 2, 9);
  const reader = new ByteReader(memory.subarray(2, 4));
  const bytes = reader.bytes(2);
  memory.fill(0);
  assert.deepEqual(bytes, Uint8Array.of(1, 2));
  assert.equal(reader.offset, 2);
  assert.deepEqual(reader.finish("end"), { ok: true, value: "end" });
});
