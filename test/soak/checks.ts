/** What must hold, and what was seen: printed as it is checked, and once more as a table for docs/results.md. */
export class Checks {
  passed = 0;
  failed = 0;
  readonly #rows: string[] = [];

  check(what: string, holds: boolean, seen: string): void {
    if (holds) this.passed++;
    else this.failed++;
    console.log(`${holds ? "✓" : "✗"} ${what}: ${seen}`);
    this.#rows.push(`| ${what} | ${seen} | ${holds ? "yes" : "**no**"} |`);
  }

  table(): string {
    return ["| what | seen | holds |", "|---|---|---|", ...this.#rows].join("\n");
  }
}
