import type { SeededRandom } from "@mesh/core/testing";
import type { InputKind } from "./fuzz-target.ts";

/** Longest input made from nothing. */
const MAX_RANDOM_BYTES = 300;
/** What a length field says when it lies; also with one added and taken. */
const LIES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff];
/** First bytes of MessagePack that a length follows: bin, ext, str, array and map of 8 to 32 bits (the format's table of types). */
const LENGTH_TYPES = [0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf];

type Mutation = (random: SeededRandom, bytes: Uint8Array, other: Uint8Array) => Uint8Array;

const mutations: readonly Mutation[] = [
  (random) => randomBytes(random, random.below(MAX_RANDOM_BYTES)),
  (random, bytes) => bytes.slice(0, random.below(bytes.length + 1)),
  (random, bytes) => flipBits(random, bytes),
  (random, bytes) => flipBits(random, bytes),
  (random, bytes) => setBytes(random, bytes),
  /** Two samples, cut at one place or at two. */
  (random, bytes, other) => {
    const at = random.below(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(2) === 0 ? at : random.below(other.length + 1))]);
  },
  (random, bytes) => lieAboutLength(random, bytes),
  (random, bytes) => lieAboutLength(random, bytes),
  (random, bytes) => replaceRun(random, bytes, randomBytes(random, random.below(9))),
  /** A part of it again and again. */
  (random, bytes) => {
    const at = random.below(bytes.length + 1);
    const part = bytes.subarray(at, at + 1 + random.below(8));
    return Buffer.concat([bytes.subarray(0, at), ...new Array<Uint8Array>(random.below(20)).fill(part), bytes.subarray(at)]);
  },
  /** Nested deeper than anybody needs: lists of one entry, or maps. */
  (random, bytes) => {
    const levels = new Uint8Array(random.below(random.below(50) === 0 ? 5_000 : 40)).fill(random.below(2) === 0 ? 0x91 : 0x81);
    const at = random.below(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), levels, bytes.subarray(at)]);
  },
];

export const byteKind: InputKind<Uint8Array> = {
  *all(sample) {
    for (let length = 0; length < sample.length; length++) yield sample.subarray(0, length);
    for (let more = 0; more < 256; more += 15) yield Uint8Array.of(...sample, more);
  },
  mutate: mutateBytes,
  guard: (bytes) => {
    const before = new Uint8Array(bytes);
    return () => Buffer.compare(before, bytes) === 0;
  },
  isEqual: (one, other) => Buffer.compare(one, other) === 0,
  show: (bytes) => `${bytes.length} bytes, base64 ${Buffer.from(bytes).toString("base64")}`,
};

/** One to three mutations of a sample, or of two. */
export function mutateBytes(random: SeededRandom, samples: readonly Uint8Array[]): Uint8Array {
  let bytes = random.pick(samples) ?? new Uint8Array();
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    const mutation = random.pick(mutations);
    if (mutation !== undefined) bytes = mutation(random, bytes, random.pick(samples) ?? bytes);
  }
  // A copy of its own, as a datagram is: not a view into a sample.
  return new Uint8Array(bytes);
}

/** As SeededRandom.bytes, ten times as fast. */
function randomBytes(random: SeededRandom, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random.below(256);
  return bytes;
}

function flipBits(random: SeededRandom, bytes: Uint8Array): Uint8Array {
  const changed = new Uint8Array(bytes);
  for (let flips = 1 + random.below(3); flips > 0 && changed.length > 0; flips--) {
    const at = random.below(changed.length);
    changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
  }
  return changed;
}

function setBytes(random: SeededRandom, bytes: Uint8Array): Uint8Array {
  const changed = new Uint8Array(bytes);
  for (let sets = 1 + random.below(4); sets > 0 && changed.length > 0; sets--) changed[random.below(changed.length)] = random.below(256);
  return changed;
}

/** A number of 1, 2, 4 or 8 bytes, in either order, perhaps behind a MessagePack type that says a length follows. */
function lieAboutLength(random: SeededRandom, bytes: Uint8Array): Uint8Array {
  const value = BigInt((random.pick(LIES) ?? 0) + random.below(3) - 1);
  const number = Buffer.alloc(8);
  if (random.below(2) === 0) number.writeBigUInt64BE(BigInt.asUintN(64, value));
  else number.writeBigUInt64LE(BigInt.asUintN(64, value));
  const width = 1 << random.below(4);
  const lie = random.below(2) === 0 ? number.subarray(0, width) : number.subarray(8 - width);
  const type = random.below(2) === 0 ? [] : [random.pick(LENGTH_TYPES) ?? 0];
  return replaceRun(random, bytes, Uint8Array.of(...type, ...lie));
}

/** Put in the place of as many bytes, or between two. */
function replaceRun(random: SeededRandom, bytes: Uint8Array, run: Uint8Array): Uint8Array {
  const at = random.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), run, bytes.subarray(random.below(2) === 0 ? at : at + run.length)]);
}
