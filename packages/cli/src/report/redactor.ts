import { isIPv4, isIPv6 } from "node:net";

/** Addresses that say nothing about who somebody is: RFC 1918, 6598, 3927, 1122, 5771, 4193, 4291. */
const PRIVATE4 = /^(?:0|10|127|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])|2(?:2[4-9]|[345]\d))\./;
const PRIVATE6 = /^(?:::1?$|f[cd]|fe[89ab]|ff)/i;

/** Fields and labels whose values are words of ours: a node that is called like one is not named there. */
const OURS: ReadonlySet<string> = new Set(["level", "time", "part", "component", "monitor", "via", "state", "role", "backend", "type"]);

/** Replaces public addresses and names, each by the same word wherever it stands. */
export class Redactor {
  readonly #names: ReadonlyMap<string, string>;
  readonly #addresses = new Map<string, string>();

  /** Every name that is to go, each with the kind of word that takes its place: `node`, `network`, `host`. */
  constructor(names: readonly (readonly [kind: string, name: string])[]) {
    const words = new Map<string, string>();
    const counts = new Map<string, number>();
    for (const [kind, name] of names) {
      if (name === "" || words.has(name)) continue;
      const count = (counts.get(kind) ?? 0) + 1;
      counts.set(kind, count);
      words.set(name, `${kind}-${count}`);
    }
    this.#names = words;
  }

  /** In text for people: addresses, and names where they stand as whole words. */
  text(text: string): string {
    return this.#withoutNames(this.#withoutAddresses(text));
  }

  /** In JSON: the values, and keys that are addresses; a node may be called like a key. */
  json(value: unknown): unknown {
    if (typeof value === "string") return this.text(value);
    if (Array.isArray(value)) return value.map((entry) => this.json(entry));
    if (typeof value !== "object" || value === null) return value;
    const entries = Object.entries(value).map(([key, entry]) => [this.#withoutAddresses(key), OURS.has(key) ? entry : this.json(entry)]);
    return Object.fromEntries(entries);
  }

  /** In lines that are JSON each; one that is not is text. */
  lines(text: string): string {
    return text
      .split("\n")
      .map((line) => {
        try {
          return JSON.stringify(this.json(JSON.parse(line)));
        } catch {
          return this.text(line);
        }
      })
      .join("\n");
  }

  /** In Prometheus' format: the values of labels. */
  metrics(text: string): string {
    return text.replace(
      /(\w+)="([^"]*)"/g,
      (_, label: string, value: string) => `${label}="${OURS.has(label) ? value : this.text(value)}"`,
    );
  }

  #withoutNames(text: string): string {
    return text.replace(/[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?/g, (word) => this.#names.get(word) ?? word);
  }

  #withoutAddresses(text: string): string {
    return text.replace(/\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]*:(?:[0-9a-fA-F:]*:)?(?:\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]*)/g, (found) =>
      this.#address(found),
    );
  }

  #address(found: string): string {
    // A port behind an IPv6 address stands outside brackets; a colon at the end belongs to the sentence.
    const address = found.replace(/(?<!:):$/, "");
    const isPublic = (isIPv4(address) && !PRIVATE4.test(address)) || (isIPv6(address) && !PRIVATE6.test(address));
    if (!isPublic) return found;
    const known = this.#addresses.get(address.toLowerCase());
    const word = known ?? `public-address-${this.#addresses.size + 1}`;
    this.#addresses.set(address.toLowerCase(), word);
    return word + found.slice(address.length);
  }
}
