import assert from "node:assert/strict";
import { relative } from "node:path";
import { test } from "node:test";
import { inspect, isDeepStrictEqual } from "node:util";
import { SeededRandom } from "@mesh/core/testing";

/** One reader of what comes from outside, and what to throw at it. */
export interface FuzzTarget<Input> {
  readonly name: string;
  /** Honest inputs; each must be taken. */
  readonly samples: readonly Input[];
  /** Undefined when the input was refused. Throws nothing but what `refuses` allows. */
  readonly read: (input: Input) => unknown;
  /** Errors by which a reader for people says no. A reader of bytes has none. */
  readonly refuses?: (error: unknown) => boolean;
  /** What was read, written again: must be the input, so that one meaning has one encoding. */
  readonly again?: (value: never) => Input;
  /** Makes inputs that get past a checksum or the first fields. Every second input is of this kind. */
  readonly make?: (random: SeededRandom) => Input;
}

/** How inputs of one kind are bent, compared and shown. */
export interface InputKind<Input> {
  /** Every input that is worth trying without chance: each truncation, one byte more. */
  readonly all: (sample: Input) => Iterable<Input>;
  readonly mutate: (random: SeededRandom, samples: readonly Input[]) => Input;
  /** Called before an input is read; says afterwards whether it is still the same. */
  readonly guard: (input: Input) => () => boolean;
  readonly isEqual: (one: Input, other: Input) => boolean;
  readonly show: (input: Input) => string;
}

const ROOT = new URL("../..", import.meta.url).pathname;
const SEED = Number(process.env["MESH_FUZZ_SEED"] ?? 1);
/** Random inputs for each target; MESH_FUZZ_RUNS multiplies them. */
const RUNS = 20_000 * Number(process.env["MESH_FUZZ_RUNS"] ?? 1);
/** After so many inputs the samples must still read as at first: what was refused left nothing behind. */
const RECHECK_EVERY = 1_000;
/** Milliseconds. Any input is of a few kilobytes and takes less than one; a bomb takes seconds. */
const TIME_LIMIT = 100;

// Refusals are errors here by the hundred thousand, and a stack costs more than all else.
Error.stackTraceLimit = 0;

/** One test for each target. A failure shows the input and the command that repeats it. */
export function fuzz<Input>(kind: InputKind<Input>, targets: readonly FuzzTarget<Input>[]): void {
  for (const target of targets) {
    const title = `${target.name}: every input is read or refused (${RUNS} of them, seed ${SEED})`;
    test(title, (context) => {
      const run = new FuzzRun(kind, target);
      try {
        run.tryAll();
      } catch (error) {
        const pattern = `^${target.name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}: `;
        const file = relative(ROOT, context.filePath ?? "");
        throw new Error(
          [
            error instanceof Error ? error.message : String(error),
            `input: ${run.lastInput()}`,
            `repeat: MESH_FUZZ_SEED=${SEED} npx -y pnpm@10.34.9 exec node --test --test-name-pattern='${pattern}' ${file}`,
          ].join("\n"),
          { cause: error },
        );
      }
      context.diagnostic(`${run.taken} taken, ${run.refused} refused`);
    });
  }
}

class FuzzRun<Input> {
  taken = 0;
  refused = 0;
  readonly #kind: InputKind<Input>;
  readonly #target: FuzzTarget<Input>;
  readonly #expected: readonly unknown[];
  #last: Input | undefined;

  constructor(kind: InputKind<Input>, target: FuzzTarget<Input>) {
    this.#kind = kind;
    this.#target = target;
    this.#expected = this.#readSamples();
  }

  lastInput(): string {
    return this.#last === undefined ? "none" : this.#kind.show(this.#last);
  }

  tryAll(): void {
    const { samples, make } = this.#target;
    for (const sample of samples) for (const input of this.#kind.all(sample)) this.#try(input);
    const random = SeededRandom.named(SEED, this.#target.name);
    for (let run = 0; run < RUNS; run++) {
      const made = make !== undefined && run % 2 === 1;
      this.#try(made ? make(random) : this.#kind.mutate(random, samples));
      if (run % RECHECK_EVERY === RECHECK_EVERY - 1) this.#recheck();
    }
    this.#recheck();
    assert.ok(this.refused > 0, "nothing was refused: the mutations do not bite");
  }

  #try(input: Input): void {
    this.#last = input;
    const isUnchanged = this.#kind.guard(input);
    const value = this.#readInTime(input);
    assert.ok(isUnchanged(), "reading changed the input");
    if (value === undefined) {
      this.refused++;
      return;
    }
    this.taken++;
    const { again } = this.#target;
    if (again !== undefined) assert.ok(this.#kind.isEqual(again(value as never), input), "it was taken, and writes as something else");
  }

  /** A process that waited for its turn looks slow once, a slow reader each time. */
  #readInTime(input: Input): unknown {
    let slowest = 0;
    for (let attempt = 0; attempt < 3; attempt++) {
      const startedAt = performance.now();
      const value = this.#read(input);
      const ms = performance.now() - startedAt;
      if (ms < TIME_LIMIT) return value;
      slowest = Math.max(slowest, ms);
    }
    throw new Error(`reading it takes ${Math.round(slowest)} ms`);
  }

  #read(input: Input): unknown {
    try {
      return this.#target.read(input);
    } catch (error) {
      if (this.#target.refuses?.(error) === true) return undefined;
      throw new Error(`it threw ${inspect(error)}`, { cause: error });
    }
  }

  #recheck(): void {
    assert.ok(isDeepStrictEqual(this.#readSamples(), this.#expected), "an honest input is not read as before");
  }

  #readSamples(): readonly unknown[] {
    return this.#target.samples.map((sample) => {
      const value = this.#read(sample);
      assert.ok(value !== undefined, `an honest input is refused: ${this.#kind.show(sample)}`);
      return value;
    });
  }
}
