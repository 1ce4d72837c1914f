import type { SeededRandom } from "@mesh/core/testing";
import type { Field } from "../../packages/core/src/bytes/fields.ts";

/** What a hostile author may put in the place of any field. */
const JUNK: readonly Field[] = [
  null, true, false, "", "b", "B", "a".repeat(64), 0, 1, 8, 24, 30, 65_535, 65_536, -1, 0.5, 2 ** 53, Number.MAX_SAFE_INTEGER,
  new Uint8Array(), new Uint8Array(4), new Uint8Array(16).fill(3), new Uint8Array(32).fill(255), new Uint8Array(64), new Uint8Array(9_000),
  Uint8Array.of(10, 0, 0, 0), [], [[]], [1], [[1, 2]], [[1, 65_535]], [[0, 1]], [[1]], [[new Uint8Array(16).fill(1), 80]], [[new Uint8Array(16), 0]],
  [[[[[[[[[[1]]]]]]]]]], Array.from({ length: 70 }, () => [1, 1]),
]; // biome-ignore format: a list of short values

/** One to three changes to a list of fields, at any depth: replaced, left out, doubled, swapped, or taken from another sample. */
export function mutateFields(random: SeededRandom, samples: readonly (readonly Field[])[]): readonly Field[] {
  let fields = random.pick(samples) ?? [];
  for (let changes = random.below(4); changes > 0; changes--) fields = mutateOnce(random, fields, random.pick(samples) ?? fields);
  return fields;
}

function mutateOnce(random: SeededRandom, fields: readonly Field[], other: readonly Field[]): readonly Field[] {
  const at = random.below(fields.length + 1);
  const old = fields[at];
  if (Array.isArray(old) && random.below(2) === 0)
    return fields.with(at, mutateOnce(random, old, Array.isArray(other[at]) ? other[at] : old));
  switch (random.below(6)) {
    case 0:
      return fields.toSpliced(at, 1);
    case 1:
      return fields.toSpliced(at, 0, ...fields.slice(at, at + 1));
    case 2:
      return fields.toSpliced(at, 1, ...other.slice(at, at + 1));
    case 3:
      return old instanceof Uint8Array ? fields.with(at, random.bytes(old.length)) : [...fields, random.pick(JUNK) ?? null];
    default:
      return fields.toSpliced(at, 1, random.pick(JUNK) ?? null);
  }
}
