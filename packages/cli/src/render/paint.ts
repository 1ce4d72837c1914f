/** Marks text for a terminal; without colour each function gives its text back. */
export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
}

/** SGR codes of ECMA-48: the first switches on, the second off. */
const CODES: Readonly<Record<keyof Paint, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
};

export function paintFor(colour: boolean): Paint {
  const mark =
    (name: keyof Paint) =>
    (text: string): string => {
      const [on, off] = CODES[name];
      return colour && text !== "" ? `\x1b[${on}m${text}\x1b[${off}m` : text;
    };
  return { bold: mark("bold"), dim: mark("dim"), red: mark("red"), green: mark("green"), yellow: mark("yellow") };
}

/** Whether to paint: only for a person's terminal, and never against NO_COLOR (no-color.org: set and not empty). */
export function wantsColour(isTerminal: boolean, { NO_COLOR = "", TERM }: Readonly<Record<string, string | undefined>>): boolean {
  return isTerminal && NO_COLOR === "" && TERM !== "dumb";
}
