import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A vector file of this folder. The caller names the shape; a wrong one fails its test. */
export function readVectors<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, name), "utf8")) as T;
}

/** Bytes of hexadecimal text. */
export function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}

/** Bytes that count 0, 1, 2 … */
export function counting(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i);
}
