import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { api } from "@mesh/core/api";
import { callAgent } from "./client.ts";
import { findServingProcess } from "./find-process.ts";

test("the process behind a socket is found, also when the socket was renamed into its place", async () => {
  const directory = mkdtempSync(join(tmpdir(), "find-process-"));
  const socket = join(directory, "api.sock");
  assert.equal(await findServingProcess(socket), undefined);
  const script = `
    const { mkdirSync, renameSync } = require("node:fs");
    mkdirSync("${socket}.abcdef");
    require("node:net").createServer(() => {}).listen("${socket}.abcdef/new", () => {
      renameSync("${socket}.abcdef/new", "${socket}");
      console.log("listening");
    });`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const other = createServer();
  try {
    await new Promise((resolve) => child.stdout.once("data", resolve));
    await new Promise<void>((resolve) => other.listen(`${socket}2`, resolve));
    const { pid } = child;
    assert.deepEqual(await findServingProcess(socket), { pid, isStopped: false });
    assert.deepEqual(await findServingProcess(`${socket}2`), { pid: process.pid, isStopped: false });

    // Its answer to SIGSTOP is not at once; until then the kernel says it runs.
    child.kill("SIGSTOP");
    while ((await findServingProcess(socket))?.isStopped !== true);
    await assert.rejects(callAgent(api.status, {}, { socket, log: "/s/lab/agent.log", timeout: 50 }), {
      code: "agent/failed",
      message: `The agent, process ${pid}, did not answer as it should: there was no answer within 0.05 s: the process is stopped.`,
      hint: `Continue it: kill -CONT ${pid}. Its log says more: /s/lab/agent.log`,
    });
  } finally {
    child.kill("SIGKILL");
    await new Promise((resolve) => other.close(resolve));
    rmSync(directory, { recursive: true });
  }
});

test("without a view of the processes there is none", async () => {
  assert.equal(await findServingProcess("/nowhere/api.sock", "/nowhere"), undefined);
});
