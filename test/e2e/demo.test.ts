import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertGone } from "./lab/assert-gone.ts";
import { labRefusal } from "./lab/lab.ts";
import type { LabRecord } from "./lab/lab-record.ts";
import { readRecords } from "./lab/lab-record.ts";
import { exitOf } from "./lab/run-command.ts";

const skip: string | false = labRefusal() ?? (!existsSync("/dev/net/tun") && "/dev/net/tun is missing");
const DEMO: string = join(import.meta.dirname, "demo.ts");

test("the demo works from end to end and leaves nothing", { skip }, async () => {
  const { code, output } = await runDemo();
  assert.equal(code, 0, output);
  assert.match(output, /Every step worked/);
});

/** What the demo has just written when Ctrl-C comes. */
const moments: readonly string[] = ["A server with", "$ mesh init", "$ mesh join", "A file goes", "server is killed"];

for (const moment of moments) {
  test(`Ctrl-C after "${moment}" leaves nothing`, { skip }, async () => {
    const { code, output } = await runDemo(moment);
    assert.equal(code, 130, output);
    assert.match(output, /Interrupted\. Everything that was started has been removed\.\n$/);
  });
}

interface DemoRun {
  readonly code: number | null;
  readonly output: string;
}

/** Runs the demo, interrupted as a terminal does it once it has written `moment`, and checks that nothing of its lab is left. */
async function runDemo(moment?: string): Promise<DemoRun> {
  const child = spawn(process.execPath, [DEMO], { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let output = "";
  let lab: LabRecord | undefined;
  let interrupted = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      lab ??= readRecords().find(({ ownerPid }) => ownerPid === child.pid);
      if (interrupted || moment === undefined || !output.includes(moment) || child.pid === undefined) return;
      interrupted = true;
      // A terminal sends it to the whole process group.
      process.kill(-child.pid, "SIGINT");
    });
  }
  const code = await exitOf(child);
  assert.ok(lab !== undefined, output);
  assertGone(lab);
  return { code, output };
}
