import type { Millis } from "./millis.ts";

/** The earlier of two wake-up times; undefined means never. */
export function earliest(...instants: readonly (Millis | undefined)[]): Millis | undefined {
  let first: Millis | undefined;
  for (const at of instants) if (at !== undefined && (first === undefined || at < first)) first = at;
  return first;
}
