import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));

let stateRoot = "";

beforeEach(() => {
  stateRoot = mkdtempSync(join(tmpdir(), "main-"));
});

afterEach(() => rmSync(stateRoot, { recursive: true }));

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function mesh(args: readonly string[], closeOutput = false): Promise<Ran> {
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, MESH_STATE: stateRoot },
  });
  let [stdout, stderr] = ["", ""];
  if (closeOutput) child.stdout.destroy();
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, stdout, stderr };
}

test("a process answers with output and exit code", async () => {
  assert.deepEqual(await mesh(["--version"]), { code: 0, stdout: "mesh 0.1.0\n", stderr: "" });
  const wrong = await mesh(["sttaus"]);
  assert.deepEqual([wrong.code, wrong.stdout], [2, ""]);
  const missing = await mesh(["status"]);
  assert.deepEqual([missing.code, missing.stdout], [1, ""]);
  assert.match(missing.stderr, /^mesh: This host is in no network yet: there is none in .+\.\n/);
});

test("a reader that has enough is no error", async () => {
  assert.deepEqual(await mesh(["help"], true), { code: 0, stdout: "", stderr: "" });
});
