import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";

test("without a compiler it says so in words, and is no failure", (t) => {
  const copy = copyOfSources(t);
  const { status, stdout, stderr } = run(copy, { CXX: "/nonexistent" });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /no C\+\+ compiler/);
  assert.match(stdout, /slow twin/);
  assert.match(stdout, /perl/);
  assert.match(stdout, /apt-get install g\+\+/);
  assert.equal(existsSync(join(copy, "build")), false);
});

test("it does nothing when these very sources are built, and notices every edit", (t) => {
  const copy = copyOfSources(t);
  const addon = expectedAddon(copy);
  mkdirSync(dirname(addon), { recursive: true });
  writeFileSync(addon, "");
  assert.equal(run(copy, {}).stdout, "");
  appendFileSync(join(copy, "native/engine/limits.h"), "\n");
  assert.notEqual(expectedAddon(copy), addon);
  assert.match(run(copy, { CXX: "/nonexistent" }).stdout, /no C\+\+ compiler/);
});

test("what the compiler says is shown, and nothing half-built stays", (t) => {
  const copy = copyOfSources(t);
  const compiler = join(copy, "compiler");
  writeFileSync(compiler, '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "a complaint" >&2\nexit 1\n', { mode: 0o755 });
  const { status, stderr } = run(copy, { CXX: compiler });
  assert.equal(status, 1);
  assert.match(stderr, /cannot be built[\s\S]*a complaint/);
  assert.equal(existsSync(expectedAddon(copy)), false);
  assert.equal(existsSync(join(copy, "build/lock")), false);
});

test("a lock left by a process that died is taken over", (t) => {
  const copy = copyOfSources(t);
  const compiler = join(copy, "compiler");
  writeFileSync(compiler, '#!/bin/sh\n[ "$1" = --version ] && exit 0\nfor last; do :; done\n: > "$last"\n', { mode: 0o755 });
  const dead = spawnSync("true").pid;
  mkdirSync(join(copy, "build"));
  writeFileSync(join(copy, "build/lock"), String(dead));
  const { status, stdout, stderr } = run(copy, { CXX: compiler });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /Built the packet engine/);
  assert.equal(existsSync(expectedAddon(copy)), true);
});

function copyOfSources(t: TestContext): string {
  const copy = mkdtempSync(join(tmpdir(), "mesh-build-test-"));
  t.after(() => rmSync(copy, { recursive: true, force: true }));
  for (const name of ["build.mjs", "native"]) cpSync(join(import.meta.dirname, name), join(copy, name), { recursive: true });
  const headers = join(copy, "node_modules/node-api-headers");
  mkdirSync(headers, { recursive: true });
  writeFileSync(join(headers, "package.json"), "{}");
  return copy;
}

/** With no compiler on the PATH but the one named by CXX. */
function run(copy: string, env: Record<string, string>): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [join(copy, "build.mjs")], { encoding: "utf8", env: { PATH: "/nonexistent", ...env } });
}

function expectedAddon(copy: string): string {
  const program = `import { builtAddonPath } from ${JSON.stringify(join(copy, "build.mjs"))}; process.stdout.write(builtAddonPath());`;
  return spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" }).stdout;
}
