import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { commandEntry, commandNames } from "../command-table.ts";
import { renderCompletion } from "./completion.ts";

function has(shell: string): boolean {
  return spawnSync(shell, ["-c", "true"]).status === 0;
}

/** What bash offers for the last of these words. */
function offered(...words: readonly string[]): readonly string[] {
  const line = words.map((word) => `'${word}'`).join(" ");
  const script = `${renderCompletion("bash")}
COMP_WORDS=(mesh ${line}); COMP_CWORD=${words.length}; COMPREPLY=(); _mesh; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { status, stdout, stderr } = spawnSync("bash", ["--norc", "-c", script], { encoding: "utf8" });
  assert.deepEqual([status, stderr], [0, ""]);
  return stdout.split("\n").filter((word) => word !== "");
}

test("bash completes commands, their flags, their words, and values of flags", { skip: !has("bash") && "needs bash" }, () => {
  assert.deepEqual(offered(""), [...commandNames, "--help", "--version"]);
  assert.deepEqual(offered("st"), ["status"]);
  assert.deepEqual(offered("status", "--w"), ["--watch"]);
  assert.deepEqual(offered("--network", "lab", "service", ""), [
    "install",
    "remove",
    ...commandEntry("service").flags.map((flag) => `--${flag}`),
  ]);
  assert.deepEqual(offered("up", "--backend", ""), ["native", "twin"]);
  assert.deepEqual(offered("up", "--log-level", "w"), ["warn"]);
  assert.deepEqual(offered("help", "ro"), ["routes"]);
  assert.ok(offered("up", "--state", "/").includes("/proc"));
  assert.ok(offered("report", "/etc/host").some((file) => file.startsWith("/etc/host")));
  assert.deepEqual(offered("invite", "--uses", ""), []);
  for (const name of commandNames)
    for (const flag of commandEntry(name).flags) assert.ok(offered(name, "--").includes(`--${flag}`), `${name} --${flag}`);
});

for (const shell of ["zsh", "fish"] as const) {
  test(`${shell} understands its script`, { skip: !has(shell) && `needs ${shell}` }, () => {
    const directory = mkdtempSync(join(tmpdir(), "completion-"));
    const file = join(directory, "mesh");
    writeFileSync(file, renderCompletion(shell));
    const { status, stderr } = spawnSync(shell, ["-n", file], { encoding: "utf8" });
    rmSync(directory, { recursive: true });
    assert.deepEqual([status, stderr], [0, ""]);
  });

  test(`the script for ${shell} names every command and flag, and its quotes are closed`, () => {
    const script = renderCompletion(shell);
    for (const name of commandNames) {
      assert.ok(script.includes(name));
      for (const flag of commandEntry(name).flags) assert.ok(script.includes(shell === "fish" ? `-l ${flag}` : `--${flag}`), flag);
    }
    for (const line of script.split("\n"))
      assert.equal((line.replaceAll("'\\''", "").replaceAll("\\'", "").match(/'/g) ?? []).length % 2, 0, line);
  });
}
