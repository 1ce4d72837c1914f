import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, describe, test } from "node:test";

const ENGINE = join(import.meta.dirname, "../../packages/datapath/native/engine");
// -g1: line numbers in what a sanitizer reports, at half the compile time of -g.
const FLAGS = ["-std=c++20", "-O1", "-g1", "-pthread", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Wshadow", "-Werror"];
/** What the test program exits with when the machine lacks something, after naming it. */
const SKIPPED = 77;

interface Build {
  readonly sanitizer: string;
  readonly flags: readonly string[];
  readonly sources: readonly string[];
}

const engine = sourcesIn(ENGINE);
const tests = sourcesIn(join(ENGINE, "test"));
/** All tests look for bad memory and undefined behaviour; those with threads in them for races too. */
const BUILDS: readonly Build[] = [
  { sanitizer: "address,undefined", flags: [], sources: [...engine, ...tests] },
  {
    sanitizer: "thread",
    flags: ["-DMESH_ONLY_THREADS"],
    sources: [...engine, ...tests.filter((path) => ["main.cc", "engine_test.cc", "way_test.cc"].includes(basename(path)))],
  },
];

/** The engine's own test program, without Node in it, once with each sanitizer; a finding ends it. */
const compiler = ["g++", "clang++"].find((name) => spawnSync(name, ["--version"]).status === 0);
if (compiler === undefined) {
  test("the engine's own tests", { skip: "needs g++ or clang++" }, () => {});
} else {
  const folder = mkdtempSync(join(tmpdir(), "mesh-engine-test-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  for (const { sanitizer, binary, errors } of await buildAll(compiler, folder)) {
    describe(`engine with -fsanitize=${sanitizer}`, () => {
      test("builds without a warning", () => assert.equal(errors, ""));
      const names = errors === "" ? spawnSync(binary, ["list"], { encoding: "utf8" }).stdout.trim().split("\n") : [];
      for (const name of names) {
        test(name, (t) => {
          // The thread sanitizer of older compilers cannot place its shadow memory in a randomised address space.
          const ran = spawnSync("setarch", ["-R", binary, name], { encoding: "utf8" });
          if (ran.status === SKIPPED) t.skip(ran.stdout.trim());
          else assert.equal(ran.status, 0, `${ran.signal ?? ran.error ?? ""}\n${ran.stderr}`);
        });
      }
    });
  }
}

interface Built {
  readonly sanitizer: string;
  readonly binary: string;
  readonly errors: string;
}

/** Compiles the files of all builds side by side, as many at once as there are cores, tests first: they take longest. */
async function buildAll(command: string, folder: string): Promise<readonly Built[]> {
  const plans = BUILDS.map(({ sanitizer, flags, sources }, n) => {
    const all = [...FLAGS, ...flags, `-fsanitize=${sanitizer}`, "-fno-sanitize-recover=all"];
    const units = sources.map((source, i) => ({ source, object: join(folder, `${n}-${i}.o`) }));
    return { sanitizer, flags: all, units, binary: join(folder, `engine-${n}`), errors: [] as string[] };
  });
  const waiting = plans.flatMap((plan) => plan.units.map((unit) => ({ plan, ...unit })));
  waiting.sort((a, b) => Number(tests.includes(b.source)) - Number(tests.includes(a.source)));
  const worker = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      job.plan.errors.push(await run(command, [...job.plan.flags, "-c", job.source, "-o", job.object]));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return Promise.all(
    plans.map(async ({ sanitizer, flags, units, binary, errors }) => {
      const compiled = errors.join("");
      const linked = compiled === "" ? await run(command, [...flags, ...units.map(({ object }) => object), "-o", binary]) : "";
      return { sanitizer, binary, errors: compiled + linked };
    }),
  );
}

/** What the compiler complained about; empty when it did not. */
async function run(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return code === 0 ? errors : `exit ${code}\n${errors}`;
}

function sourcesIn(folder: string): readonly string[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".cc"));
  return names.sort().map((name) => join(folder, name));
}
