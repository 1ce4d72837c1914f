import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const ROOT = join(import.meta.dirname, "../..");

test("a failing run prints the command that repeats exactly its seed, and what passed between the nodes", () => {
  const all = runNode("--test --test-reporter=tap test/sim/failing-seed.ts");
  assert.match(all, /^# pass 29$/m);
  assert.match(all, /^# fail 1$/m);
  const command = /repeat: npx -y pnpm@10\.34\.9 exec node (.*)$/m.exec(all)?.[1];
  assert.ok(command !== undefined, `no command in:\n${all}`);
  assert.match(command, /seed 3\$' test\/sim\/failing-seed\.ts$/);

  const again = runNode(command.replace("--test ", "--test --test-reporter=tap "));
  assert.match(again, /^# tests 1$/m, `one test, not also seed 30:\n${again}`);
  assert.match(again, /^# fail 1$/m);
  assert.match(again, /the wire is cut/);
  const drawing = drawingOf(all);
  assert.match(all, /^ +a +b *$/m);
  assert.match(drawing, /\|-+x handshake \d+ B \(lost\)/);
  assert.equal(drawingOf(again), drawing, "the same seed is the same run");
});

/** By a shell, as a person runs it; `node` is the one that runs this test. */
function runNode(args: string): string {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return spawnSync("sh", ["-c", `"$NODE" ${args}`], { cwd: ROOT, encoding: "utf8", env: { ...env, NODE: process.execPath } }).stdout;
}

/** Lines with an instant in front. */
function drawingOf(output: string): string {
  return output.match(/^ +\d+\.\d ms .*$/gm)?.join("\n") ?? "";
}
