import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { holdStateDirectory } from "./holder.ts";

let directory = "";
const file = (): string => join(directory, "agent.pid");

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "holder-"));
});

afterEach(() => rmSync(directory, { recursive: true }));

test("a directory is held until it is given up, and this process may hold it again", async () => {
  const release = await holdStateDirectory(directory);
  assert.equal(JSON.parse(readFileSync(file(), "utf8")).pid, process.pid);
  await holdStateDirectory(directory);
  await release();
  assert.equal(existsSync(file()), false);
  await release();
});

test("a process that runs keeps it; one that has ended, whose number was given again or that ran before a boot does not", async () => {
  await holdStateDirectory(directory);
  const own = JSON.parse(readFileSync(file(), "utf8")) as { pid: number; startedAt: string };
  const child = spawn("sleep", ["60"]);
  await once(child, "spawn");
  const stat = readFileSync(`/proc/${child.pid}/stat`, "latin1");
  const startedAt = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  const held = { ...own, pid: child.pid, startedAt };
  for (const [what, holder] of [
    ["started later", { ...held, startedAt: String(Number(startedAt) - 1) }],
    ["another boot", { ...held, boot: "other" }],
    ["nothing of the kind", {}],
    ["no number", { ...held, pid: "1" }],
  ] as const) {
    writeFileSync(file(), JSON.stringify(holder));
    await assert.doesNotReject(holdStateDirectory(directory), what);
  }
  writeFileSync(file(), JSON.stringify(held));
  await assert.rejects(holdStateDirectory(directory), { code: "agent/already-running", message: new RegExp(`process ${child.pid}`) });
  child.kill("SIGKILL");
  await once(child, "exit");
  await holdStateDirectory(directory);
  writeFileSync(file(), "{");
  await holdStateDirectory(directory);
});
