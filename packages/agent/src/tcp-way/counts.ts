/** What was dropped or refused, by name. */
export class Counts {
  readonly #counts = new Map<string, number>();

  count(name: string, by = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + by);
  }

  view(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }
}
