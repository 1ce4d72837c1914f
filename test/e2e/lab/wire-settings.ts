/**
 * What a wire does to the frames of one direction. Probabilities are 0 to 1, for each frame; what is not given stays as it is,
 * and a new wire is PLAIN_WIRE. Losses come first, then the rate limit, then the delay.
 */
export interface WireSettings {
  readonly delayMs?: number;
  /** Uniform: a frame's delay is `delayMs` plus or minus up to this, and never negative. Frames overtake each other. */
  readonly jitterMs?: number;
  /** No frame overtakes another one: a delay counts for those behind it, too. */
  readonly keepOrder?: boolean;
  /** Independent loss. */
  readonly loss?: number;
  /** Loss in bursts (Gilbert-Elliott): everything is lost in the bad state, and nothing in the good one. */
  readonly burst?: BurstLoss;
  /** Part of the frames that wait `reorderMs` longer, so that later ones overtake them. */
  readonly reorder?: number;
  readonly reorderMs?: number;
  /** Megabits a second of Ethernet frames; 0: as fast as it goes. */
  readonly rateMbit?: number;
  /** Longest wait for the rate; what would wait longer is dropped. */
  readonly queueMs?: number;
  /** Nothing passes, what is under way included. */
  readonly cut?: boolean;
}

/** The long-run loss is enter / (enter + leave), the mean length of a burst 1 / leave. */
export interface BurstLoss {
  /** That the next frame finds the good state turned bad. */
  readonly enter: number;
  /** That it finds the bad one turned good. */
  readonly leave: number;
}

export const PLAIN_WIRE: Required<WireSettings> = {
  delayMs: 0,
  jitterMs: 0,
  keepOrder: false,
  loss: 0,
  burst: { enter: 0, leave: 1 },
  reorder: 0,
  reorderMs: 0,
  rateMbit: 0,
  queueMs: 50,
  cut: false,
};

/** A minute: longer than any path, and what is under way stays in memory. */
const LONGEST_MS = 60_000;
const HIGHEST_MBIT = 100_000;

/** Throws a RangeError that names the setting. */
export function checkWireSettings({ burst, ...settings }: WireSettings): void {
  const bounds: Readonly<Record<string, number>> = { loss: 1, reorder: 1, rateMbit: HIGHEST_MBIT };
  const numbers = Object.entries({
    ...settings,
    ...(burst === undefined ? {} : { "burst.enter": burst.enter, "burst.leave": burst.leave }),
  });
  for (const [name, value] of numbers) {
    if (typeof value !== "number") continue;
    const most = bounds[name] ?? (name.startsWith("burst") ? 1 : LONGEST_MS);
    if (!(value >= 0 && value <= most)) throw new RangeError(`${name} is ${value}, and must be from 0 to ${most}`);
  }
}

const WORDS = "delay=25 jitter=5 order=keep loss=5% burst=2%/30% reorder=10%/5 rate=20 queue=50 off";

/**
 * Settings as typed: `delay=25ms jitter=5 loss=5% burst=2%/30% reorder=10%/5ms rate=20mbit queue=50ms order=keep|free off`; `off`
 * takes everything back that stands before it. Times are milliseconds and rates Mbit/s, the unit may be written or not; a
 * probability without a percent sign is one of 0 to 1. Throws a RangeError with a sentence for people.
 */
export function parseWireWords(words: readonly string[]): WireSettings {
  const settings: WireSettings = Object.assign({}, ...words.map(parseWord));
  checkWireSettings(settings);
  return settings;
}

/** As `parseWireWords` reads them; nothing for a plain wire. */
export function formatWireWords(settings: Required<WireSettings>): string {
  const { delayMs, jitterMs, keepOrder, loss, burst, reorder, reorderMs, rateMbit, queueMs } = settings;
  const words: string[] = [];
  if (delayMs > 0) words.push(`delay=${delayMs}ms`);
  if (jitterMs > 0) words.push(`jitter=${jitterMs}ms`);
  if (keepOrder) words.push("order=keep");
  if (loss > 0) words.push(`loss=${formatPercent(loss)}`);
  if (burst.enter > 0) words.push(`burst=${formatPercent(burst.enter)}/${formatPercent(burst.leave)}`);
  if (reorder > 0) words.push(`reorder=${formatPercent(reorder)}/${reorderMs}ms`);
  if (rateMbit > 0) words.push(`rate=${rateMbit}mbit`, `queue=${queueMs}ms`);
  return words.join(" ");
}

function formatPercent(probability: number): string {
  return `${Number((probability * 100).toPrecision(6))}%`;
}

function parseWord(word: string): WireSettings {
  if (word === "off") return PLAIN_WIRE;
  const [name, value = ""] = word.split("=", 2);
  const [first = "", second = ""] = value.split("/", 2);
  if (name === "delay") return { delayMs: parseNumber(word, value, "ms") };
  if (name === "jitter") return { jitterMs: parseNumber(word, value, "ms") };
  if (name === "queue") return { queueMs: parseNumber(word, value, "ms") };
  if (name === "rate") return { rateMbit: parseNumber(word, value, "mbit") };
  if (name === "loss") return { loss: parseProbability(word, value) };
  if (name === "burst") return { burst: { enter: parseProbability(word, first), leave: parseProbability(word, second) } };
  if (name === "reorder") return { reorder: parseProbability(word, first), reorderMs: parseNumber(word, second, "ms") };
  if (name === "order" && (value === "keep" || value === "free")) return { keepOrder: value === "keep" };
  throw new RangeError(`a wire does not know ${word}; it knows ${WORDS}`);
}

function parseProbability(word: string, text: string): number {
  return text.endsWith("%") ? parseNumber(word, text, "%") / 100 : parseNumber(word, text, "");
}

function parseNumber(word: string, text: string, unit: string): number {
  const digits = unit !== "" && text.endsWith(unit) ? text.slice(0, -unit.length) : text;
  if (!/^\d+(?:\.\d+)?$/.test(digits)) throw new RangeError(`${word} is not like any of ${WORDS}`);
  return Number(digits);
}
