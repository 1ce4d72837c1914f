import { isDeepStrictEqual } from "node:util";
import type { SeededRandom } from "@mesh/core/testing";
import type { InputKind } from "./fuzz-target.ts";
import { mutateText } from "./mutate-text.ts";

/** What JSON can put in any place. */
const JUNK: readonly unknown[] = [
  "null", "true", "false", "0", "-0", "-1", "0.5", "1", "65536", "1e308", "9007199254740993", '""', '"a"', '"up"', '"10.77.0.0/16"', '"\\ud800"',
  "[]", "[null]", "{}", '{"":{}}', '{"__proto__":{"x":1}}', '{"constructor":{"prototype":{}}}', '{"length":-1}', '{"toString":1}',
  `"${"x".repeat(5_000)}"`, `${"[".repeat(200)}${"]".repeat(200)}`, `[${"0,".repeat(2_000)}0]`,
].map((text) => JSON.parse(text)); // biome-ignore format: a list of short texts
const KEYS = ["__proto__", "constructor", "toString", "length", "", "version", "type", "0"];

/** Values as JSON.parse gives them. */
export const valueKind: InputKind<unknown> = {
  *all(sample) {
    for (const junk of JUNK) yield junk;
    for (const path of pathsOf(sample)) {
      yield replaced(sample, path, () => undefined);
      for (const junk of JUNK) yield replaced(sample, path, () => junk);
    }
  },
  mutate: mutateValue,
  /** A reader that writes into a frozen value throws. */
  guard: (value) => {
    freeze(value);
    return () => true;
  },
  isEqual: isDeepStrictEqual,
  show: (value) => JSON.stringify(value) ?? "undefined",
};

export function mutateValue(random: SeededRandom, samples: readonly unknown[]): unknown {
  let value = random.pick(samples);
  for (let changes = 1 + random.below(3); changes > 0; changes--) value = mutateOnce(random, value, random.pick(samples));
  return value;
}

type Path = readonly (string | number)[];

function mutateOnce(random: SeededRandom, value: unknown, other: unknown): unknown {
  const path = somePath(random, value);
  switch (random.below(6)) {
    case 0:
      return replaced(value, path, () => undefined);
    case 1:
      return replaced(value, path, () => valueAt(other, somePath(random, other)));
    case 2:
      return replaced(value, path, (old) => withKey(random, old));
    case 3:
      return replaced(value, path, (old) => (typeof old === "string" ? mutateText(random, [old]) : mutateNumber(random, old)));
    case 4: {
      const text = mutateText(random, [JSON.stringify(value) ?? "null"]);
      try {
        return JSON.parse(text);
      } catch {
        return text;
      }
    }
    default:
      return replaced(value, path, () => random.pick(JUNK));
  }
}

function mutateNumber(random: SeededRandom, old: unknown): unknown {
  return typeof old === "number" ? old + random.below(3) - 1 + (random.below(8) === 0 ? 0.5 : 0) : [old, old];
}

/** `__proto__` is made a key of its own, as JSON.parse does. */
function withKey(random: SeededRandom, old: unknown): unknown {
  if (typeof old !== "object" || old === null || Array.isArray(old)) return [old];
  const changed = { ...old };
  const value = random.pick(JUNK);
  Object.defineProperty(changed, random.pick(KEYS) ?? "x", { value, enumerable: true, writable: true, configurable: true });
  return changed;
}

function* pathsOf(value: unknown): Iterable<Path> {
  yield [];
  for (const key of keysOf(value)) for (const path of pathsOf(valueAt(value, [key]))) yield [key, ...path];
}

/** Down from the top, one key after another, and perhaps not to the end. */
function somePath(random: SeededRandom, value: unknown): Path {
  const path: (string | number)[] = [];
  for (let inside = value; random.below(6) > 0; ) {
    const key = random.pick(keysOf(inside));
    if (key === undefined) break;
    path.push(key);
    inside = valueAt(inside, [key]);
  }
  return path;
}

/** Of a list the first four: it is the same further on. */
function keysOf(value: unknown): readonly (string | number)[] {
  if (typeof value !== "object" || value === null) return [];
  return Array.isArray(value) ? [0, 1, 2, 3].slice(0, value.length) : Object.keys(value);
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inside, key) => (inside as Readonly<Record<string | number, unknown>>)[key], value);
}

/** A copy with something else at the path; undefined takes the key away. */
function replaced(value: unknown, path: Path, by: (old: unknown) => unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return by(value);
  const copy: unknown[] | Record<string | number, unknown> = Array.isArray(value) ? [...value] : { ...(value as object) };
  const inside = copy as Record<string | number, unknown>;
  const fresh = replaced(inside[key], rest, by);
  if (fresh === undefined) delete inside[key];
  else inside[key] = fresh;
  return copy;
}

function freeze(value: unknown): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const entry of Object.values(value)) freeze(entry);
}
