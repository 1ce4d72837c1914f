import type { PeerState } from "@mesh/core/api";
import type { Paint } from "./paint.ts";
import type { Cell } from "./table.ts";

/** What rendering needs besides the view. */
export interface Style {
  /** Wall milliseconds since 1970. */
  readonly now: number;
  readonly paint: Paint;
}

export function headerRow(names: readonly string[], { paint }: Style): readonly Cell[] {
  return names.map((text) => ({ text, paint: paint.bold }));
}

export function stateCell(state: PeerState, conflict: boolean, { paint }: Style): Cell {
  if (conflict) return { text: "conflict", paint: paint.red };
  const colours: Readonly<Record<PeerState, (text: string) => string>> = {
    alive: paint.green,
    suspect: paint.yellow,
    failed: paint.red,
    left: paint.dim,
    unknown: paint.dim,
  };
  return { text: state, paint: colours[state] };
}
