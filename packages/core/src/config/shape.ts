/**
 * Checks of JSON from outside: a shape reads a value or says what is wrong and where. Unknown keys are refused by
 * `object`, so that a misspelt option is an error and not a silence; `openObject` ignores them, for answers of a newer agent.
 */
export type Shape<T> = (value: unknown, path: string) => T;

/** Value of what a shape reads. */
type Shaped<S> = S extends Shape<infer T> ? T : never;

export class ShapeError extends Error {
  override readonly name = "ShapeError";
  readonly path: string;
  readonly expected: string;

  constructor(path: string, expected: string) {
    super(`${path === "" ? "value" : path} must be ${expected}`);
    this.path = path;
    this.expected = expected;
  }
}

export function text(value: unknown, path: string): string {
  if (typeof value !== "string") throw new ShapeError(path, "a text");
  return value;
}

export function flag(value: unknown, path: string): boolean {
  if (typeof value !== "boolean") throw new ShapeError(path, "true or false");
  return value;
}

export function number(value: unknown, path: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new ShapeError(path, "a number");
  return value;
}

export function wholeNumber(min: number, max: number): Shape<number> {
  return (value, path) => {
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max)
      throw new ShapeError(path, `a whole number from ${min} to ${max}`);
    return value as number;
  };
}

export function oneOf<const T extends string>(...options: readonly T[]): Shape<T> {
  return (value, path) => {
    const found = options.find((option) => option === value);
    if (found === undefined) throw new ShapeError(path, `one of ${options.join(", ")}`);
    return found;
  };
}

export function list<T>(item: Shape<T>, maxLength = 100_000): Shape<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value) || value.length > maxLength) throw new ShapeError(path, `a list of at most ${maxLength}`);
    return value.map((entry, i) => item(entry, `${path}[${i}]`));
  };
}

export function record<T>(item: Shape<T>): Shape<Readonly<Record<string, T>>> {
  return (value, path) => {
    const entries = Object.entries(asObject(value, path));
    return Object.fromEntries(entries.map(([key, entry]) => [key, item(entry, join(path, key))]));
  };
}

/** Marks a key that may be absent. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return (value, path) => (value === undefined ? undefined : shape(value, path));
}

type Fields = Readonly<Record<string, Shape<unknown>>>;
type OptionalKeys<F extends Fields> = { [K in keyof F]: undefined extends Shaped<F[K]> ? K : never }[keyof F];
type Read<F extends Fields> = { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Shaped<F[K]> } & {
  readonly [K in OptionalKeys<F>]?: Exclude<Shaped<F[K]>, undefined>;
};

export function object<F extends Fields>(fields: F): Shape<Read<F>> {
  const open = openObject(fields);
  return (value, path) => {
    for (const key of Object.keys(asObject(value, path)))
      if (!Object.hasOwn(fields, key)) throw new ShapeError(join(path, key), "left out: there is no such field");
    return open(value, path);
  };
}

export function openObject<F extends Fields>(fields: F): Shape<Read<F>> {
  return (value, path) => {
    const source = asObject(value, path);
    const result: Record<string, unknown> = {};
    for (const [key, shape] of Object.entries(fields)) {
      const entry = shape(Object.hasOwn(source, key) ? source[key] : undefined, join(path, key));
      if (entry !== undefined) result[key] = entry;
    }
    return result as Read<F>;
  };
}

function asObject(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new ShapeError(path, "an object");
  return value as Readonly<Record<string, unknown>>;
}

function join(path: string, key: string): string {
  const shown = key.length > MAX_KEY_SHOWN ? `${key.slice(0, MAX_KEY_SHOWN)}…` : key;
  return path === "" ? shown : `${path}.${shown}`;
}

/** Characters of a key that an error quotes: whoever sends it chose it. */
const MAX_KEY_SHOWN = 64;
