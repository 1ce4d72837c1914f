import { Packr } from "msgpackr/pack";
import { equalBytes } from "./bytes.ts";
import type { Decoded, DecodeFault } from "./decoded.ts";
import { utf8 } from "./text.ts";

/** What signed bodies and messages are made of: a MessagePack array of these, nested at will. Fields go by position. */
export type Field = null | boolean | number | string | Uint8Array | readonly Field[];

// Plain MessagePack only: no shared structures, no extension types for classes, integers as numbers.
const packr = new Packr({ useRecords: false, moreTypes: false, structuredClone: false, int64AsType: "number" });

/** Nesting deeper than this is refused: a hostile body must not exhaust the stack. */
const MAX_DEPTH = 8;

export function packFields(fields: readonly Field[]): Uint8Array {
  return new Uint8Array(packr.pack(fields));
}

/**
 * Reads what {@link packFields} wrote, and nothing else: bytes that would not be written again the same way are refused,
 * so one meaning has one encoding and a signature covers it.
 */
export function unpackFields(bytes: Uint8Array): Decoded<readonly Field[]> {
  let unpacked: unknown;
  try {
    unpacked = packr.unpack(bytes.subarray()); // a view of its own: msgpackr hangs a property on what it reads
  } catch {
    return { ok: false, fault: "truncated" }; // msgpackr tells no more: short, trailing or not MessagePack
  }
  const fields = plain(unpacked, 0);
  if (!Array.isArray(fields)) return { ok: false, fault: "not-canonical" };
  return equalBytes(packFields(fields), bytes) ? { ok: true, value: fields } : { ok: false, fault: "not-canonical" };
}

/** A copy that holds only Field values; undefined when there is anything else inside. */
function plain(value: unknown, depth: number): Field | undefined {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  // JavaScript engines may change the payload of a NaN on its way, so its bytes are not the same twice.
  if (typeof value === "number") return Number.isNaN(value) ? undefined : value;
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (!Array.isArray(value) || depth === MAX_DEPTH) return undefined;
  const items: Field[] = [];
  for (const entry of value) {
    const item = plain(entry, depth + 1);
    if (item === undefined) return undefined;
    items.push(item);
  }
  return items;
}

/** Reads fields one by one. A field of a wrong kind or range yields a harmless value and is remembered until {@link finish}. */
export class FieldReader {
  readonly #fields: readonly Field[];
  #next = 0;
  #fault: DecodeFault | undefined;

  constructor(fields: readonly Field[]) {
    this.#fields = fields;
  }

  /** At most `maxBytes` in UTF-8. */
  text(maxBytes: number): string {
    const field = this.#take();
    if (typeof field === "string" && utf8(field).length <= maxBytes) return field;
    return this.#refuse("");
  }

  bytes(length: number): Uint8Array {
    const field = this.#take();
    return field instanceof Uint8Array && field.length === length ? field : this.#refuse(new Uint8Array(length));
  }

  bytesUpTo(maxLength: number): Uint8Array {
    const field = this.#take();
    return field instanceof Uint8Array && field.length <= maxLength ? field : this.#refuse(new Uint8Array());
  }

  whole(min: number, max: number): number {
    const field = this.#take();
    return typeof field === "number" && Number.isInteger(field) && field >= min && field <= max ? field : this.#refuse(min);
  }

  flag(): boolean {
    const field = this.#take();
    return typeof field === "boolean" ? field : this.#refuse(false);
  }

  /** Reads each entry, itself a list of fields, with `read`. */
  list<T>(maxLength: number, read: (reader: FieldReader) => T): readonly T[] {
    const field = this.#take();
    if (!Array.isArray(field) || field.length > maxLength) return this.#refuse([]);
    return field.map((entry: Field) => {
      if (!Array.isArray(entry)) this.#fault ??= "out-of-range";
      const reader = new FieldReader(Array.isArray(entry) ? entry : []);
      const value = read(reader);
      const end = reader.finish(value);
      if (!end.ok) this.#fault ??= end.fault;
      return value;
    });
  }

  /** Of fields that later versions added at the end, this one has none. */
  get isAtEnd(): boolean {
    return this.#next >= this.#fields.length;
  }

  finish<T>(value: T): Decoded<T> {
    if (this.#fault !== undefined) return { ok: false, fault: this.#fault };
    return this.#next === this.#fields.length ? { ok: true, value } : { ok: false, fault: "trailing-bytes" };
  }

  #take(): Field | undefined {
    const field = this.#fields[this.#next++];
    if (field === undefined) this.#fault ??= "truncated";
    return field;
  }

  #refuse<T>(harmless: T): T {
    this.#fault ??= "out-of-range";
    return harmless;
  }
}
