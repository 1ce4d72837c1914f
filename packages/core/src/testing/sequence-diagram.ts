import type { Millis } from "../time/millis.ts";

interface Entry {
  readonly at: Millis;
  readonly from: string;
  readonly to: string;
  readonly text: string;
  readonly isLost: boolean;
}

/** Entries kept: what led to a failure is at the end. */
const KEPT = 2_000;
const COLUMN = 18;

/** What passed between the nodes of a simulation, drawn as text when a run fails. */
export class SequenceDiagram {
  readonly #entries: Entry[] = [];

  add(entry: Entry): void {
    this.#entries.push(entry);
    if (this.#entries.length > KEPT * 2) this.#entries.splice(0, KEPT);
  }

  /** The last `count` messages, one line each, a column per node. */
  draw(names: readonly string[], count = 60): string {
    const head = `${" ".repeat(12)}${names.map((name) => name.padEnd(COLUMN)).join("")}`;
    const lines = this.#entries.slice(-count).map((entry) => {
      const from = names.indexOf(entry.from);
      const to = names.indexOf(entry.to);
      const time = `${entry.at.toFixed(1)} ms`.padStart(11);
      if (from === -1 || to === -1 || from === to) return `${time} ${entry.from} → ${entry.to}: ${entry.text}`;
      const [left, right] = [Math.min(from, to), Math.max(from, to)];
      const shaft = "-".repeat((right - left) * COLUMN - 2);
      const arrow = from < to ? `|${shaft}${entry.isLost ? "x" : ">"}` : `${entry.isLost ? "x" : "<"}${shaft}|`;
      return `${time} ${" ".repeat(left * COLUMN)}${arrow} ${entry.text}${entry.isLost ? " (lost)" : ""}`;
    });
    return [head, ...lines].join("\n");
  }
}
