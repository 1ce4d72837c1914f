import type { SeededRandom } from "@mesh/core/testing";
import type { InputKind } from "./fuzz-target.ts";
import { mutateBytes } from "./mutate-bytes.ts";

/** What texts trip over: signs, separators, numbers of other notations and scripts, half a surrogate pair, what looks alike. */
const PIECES = [
  "", " ", "\0", "\n", "-", "+", "/", ":", "::", ".", "..", "[", "]", "%", "%eth0", "0", "00", "-1", "256", "65535", "65536", "1e3", "0x1f",
  "99999999999999999999", "NaN", "٣", "é", "е", "\ud800", "\udfff", "😀", "\u200b", "\u202e", "a".repeat(64), "9".repeat(400), "_", "=", "__proto__",
]; // biome-ignore format: a list of short texts

export const textKind: InputKind<string> = {
  *all(sample) {
    for (let length = 0; length < sample.length; length++) yield sample.slice(0, length);
    for (const piece of PIECES) yield* [sample + piece, piece + sample];
  },
  mutate: mutateText,
  guard: () => () => true,
  isEqual: (one, other) => one === other,
  show: (text) => JSON.stringify(text),
};

export function mutateText(random: SeededRandom, samples: readonly string[]): string {
  const text = random.pick(samples) ?? "";
  const at = random.below(text.length + 1);
  switch (random.below(4)) {
    case 0:
      return text.slice(0, at) + random.pick(PIECES) + text.slice(at + random.below(3));
    case 1:
      return text.slice(0, at) + (random.pick(samples) ?? "").slice(random.below(text.length + 1));
    case 2:
      return (
        text.slice(0, at) + String.fromCharCode(random.below(random.below(2) === 0 ? 128 : 0x1_0000)) + text.slice(at + random.below(2))
      );
    default: {
      const bytes = mutateBytes(random, [Buffer.from(text), ...samples.map((sample) => Buffer.from(sample))]);
      return Buffer.from(bytes).toString(random.below(2) === 0 ? "utf8" : "latin1");
    }
  }
}
