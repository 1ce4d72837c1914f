// What every codec must prove, for the tests beside the codecs.
import assert from "node:assert/strict";
import { SeededRandom } from "../testing/seeded-random.ts";

export interface CheckedCodec<T> {
  readonly samples: readonly T[];
  readonly encode: (value: T) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => { readonly ok: true; readonly value: T } | { readonly ok: false };
}

export function checkRoundTrip<T>({ samples, encode, decode }: CheckedCodec<T>): void {
  assert.ok(samples.length > 0);
  for (const value of samples) assert.deepEqual(decode(encode(value)), { ok: true, value });
}

/** Every truncation is refused, and one byte more, whichever it is. */
export function checkLengths<T>({ samples, encode, decode }: CheckedCodec<T>): void {
  for (const [i, value] of samples.entries()) {
    const bytes = encode(value);
    for (let length = 0; length < bytes.length; length++)
      assert.equal(decode(bytes.subarray(0, length)).ok, false, `sample ${i} cut to ${length}`);
    for (let more = 0; more < 256; more++) assert.equal(decode(Uint8Array.of(...bytes, more)).ok, false, `sample ${i} and ${more}`);
  }
}

/** 20,000 inputs, random or samples with some bytes changed: each fails or encodes back to itself. */
export function checkRandomInputs<T>({ samples, encode, decode }: CheckedCodec<T>, seed: number): void {
  const random = new SeededRandom(seed);
  const bases = samples.map(encode);
  for (let run = 0; run < 20_000; run++) {
    const bytes = randomInput(random, bases);
    const decoded = decode(bytes);
    if (decoded.ok) assert.equal(Buffer.compare(encode(decoded.value), bytes), 0, `run ${run}`);
  }
}

export function randomInput(random: SeededRandom, bases: readonly Uint8Array[]): Uint8Array {
  const base = random.pick(bases);
  if (base === undefined || random.below(4) === 0) return random.bytes(random.below(400));
  const bytes = base.slice(0, random.below(3) === 0 ? random.below(base.length + 1) : base.length);
  for (let changes = random.below(4); changes > 0 && bytes.length > 0; changes--) bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}
