import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";

const ENGINE = join(import.meta.dirname, "../../packages/datapath/native/engine");
const FLAGS = ["-std=c++20", "-O1", "-g", "-pthread", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Wshadow", "-Werror"];
const SANITIZERS = ["address,undefined", "thread"];
/** What the test program exits with when the machine lacks something, after naming it. */
const SKIPPED = 77;

/** The engine's own test program, without Node in it, once with each sanitizer; a finding ends it. */
const compiler = ["g++", "clang++"].find((name) => spawnSync(name, ["--version"]).status === 0);
if (compiler === undefined) {
  test("the engine's own tests", { skip: "needs g++ or clang++" }, () => {});
} else {
  const folder = mkdtempSync(join(tmpdir(), "mesh-engine-test-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  for (const { sanitizer, binary, errors } of await Promise.all(SANITIZERS.map((name) => build(compiler, name, folder)))) {
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

async function build(command: string, sanitizer: string, folder: string): Promise<Built> {
  const binary = join(folder, sanitizer.replace(",", "-"));
  const sources = [ENGINE, join(ENGINE, "test")].flatMap((path) => readdirSync(path).map((name) => join(path, name)));
  const args = [`-fsanitize=${sanitizer}`, "-fno-sanitize-recover=all", ...sources.filter((name) => name.endsWith(".cc")), "-o", binary];
  const child = spawn(command, [...FLAGS, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { sanitizer, binary, errors: code === 0 ? "" : `exit ${code}\n${errors}` };
}
