import { parseArgs } from "node:util";
import type { WireSettings } from "../../e2e/lab/wire-settings.ts";

export const SCENARIOS = [
  "easy",
  "seq",
  "rand",
  "roam",
  "reboot",
  "reboot-sym",
  "wan",
  "resume",
  "relay-death",
  "nat-idle",
  "idle",
  "tcp",
  "matrix",
] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

export interface PathsOptions {
  readonly scenarios: readonly ScenarioName[];
  /** Of each scenario. */
  readonly runs: number;
  /** Milliseconds one way between two hosts. */
  readonly delay: number;
  /** Milliseconds, uniform, more or less, between two hosts. */
  readonly jitter: number;
  /** 0 to 1, between two hosts. */
  readonly loss: number;
  /** Seconds of silence before the first packet through a NAT that forgets after 15 s. */
  readonly idle: number;
  /** Seconds that an idle node's datagrams are counted. */
  readonly window: number;
  /** Where public nodes offer TCP to those whose UDP is blocked; undefined: nobody does. */
  readonly tcpRelay: number | undefined;
  /** JSON lines are added to this file. */
  readonly json: string | undefined;
}

const DEFAULT_RUNS = 10;
/** Seconds. A path is kept open for 45 s after the last packet, and then the NAT remembers it for 15 s more: less measures no closed NAT. */
const DEFAULT_IDLE = 90;

/** Throws a RangeError with a sentence for people. */
export function parsePathsOptions(args: readonly string[]): PathsOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      delay: { type: "string", default: "10" },
      jitter: { type: "string", default: "0" },
      loss: { type: "string", default: "0" },
      idle: { type: "string", default: String(DEFAULT_IDLE) },
      window: { type: "string", default: "120" },
      "tcp-relay": { type: "string" },
      json: { type: "string" },
    },
  });
  const scenarios = positionals.filter((word) => !/^\d+$/.test(word));
  const [runs, second] = positionals.filter((word) => /^\d+$/.test(word));
  if (second !== undefined) throw new RangeError("the number of runs is given once");
  const named = scenarios.map((word) => {
    const name = SCENARIOS.find((one) => one === word);
    if (name === undefined) throw new RangeError(`no scenario ${word}, only ${SCENARIOS.join(", ")}`);
    return name;
  });
  const tcpRelay = values["tcp-relay"];
  return {
    scenarios: named.length === 0 ? SCENARIOS : named,
    runs: runs === undefined ? DEFAULT_RUNS : parseNumber("runs", runs, { least: 1, most: 1_000 }),
    delay: parseNumber("--delay", values.delay, { least: 0, most: 1_000 }),
    jitter: parseNumber("--jitter", values.jitter, { least: 0, most: 1_000 }),
    loss: parseNumber("--loss", values.loss, { least: 0, most: 90 }) / 100,
    idle: parseNumber("--idle", values.idle, { least: 1, most: 3_600 }),
    window: parseNumber("--window", values.window, { least: 10, most: 3_600 }),
    tcpRelay: tcpRelay === undefined ? undefined : parseNumber("--tcp-relay", tcpRelay, { least: 1, most: 65_535 }),
    json: values.json,
  };
}

/** What the wire of each network does, so that two of them in a row do what was asked for between two hosts. */
export function wireOf({ delay, jitter, loss }: Pick<PathsOptions, "delay" | "jitter" | "loss">): WireSettings {
  return { delayMs: delay / 2, jitterMs: jitter / 2, loss: 1 - Math.sqrt(1 - loss) };
}

function parseNumber(name: string, text: string, { least, most }: { readonly least: number; readonly most: number }): number {
  const number = Number(text);
  if (text.trim() === "" || !(number >= least && number <= most)) throw new RangeError(`${name} is from ${least} to ${most}, not ${text}`);
  return number;
}
