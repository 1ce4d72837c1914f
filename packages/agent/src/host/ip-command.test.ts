import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { type ErrorCode, MeshError } from "@mesh/core/errors";
import type { Clock } from "@mesh/core/ports";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { commandFailed } from "./host-failure.ts";
import { IpCommand, parseShown } from "./ip-command.ts";

const directory = mkdtempSync(join(tmpdir(), "mesh-ip-"));
after(() => rmSync(directory, { recursive: true }));

/** A program in the place of `ip`. */
function program(name: string, script: string, clock: Clock = new ManualClock()): IpCommand {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return new IpCommand(path, clock);
}

function isMeshError(code: ErrorCode, hint: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof MeshError && error.code === code, String(error));
    assert.match(error.hint ?? "", hint);
    return true;
  };
}

/** False for one that ended and was not waited for yet, too: its command line is empty. */
function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1") !== "";
  } catch {
    return false;
  }
}

describe("IpCommand", () => {
  test("gives all commands to one process on its standard input", async () => {
    const outcome = await program("echo", 'echo "$@"; cat').batch(["-4", "-json"], ["link show", "route show"]);
    assert.deepEqual(outcome, { ok: true, output: "-4 -json -batch -\nlink show\nroute show\n" });
  });

  test("names the command that failed", async () => {
    const ip = program("fail", 'cat >/dev/null; echo "RTNETLINK answers: File exists" >&2; echo "Command failed -:2" >&2; exit 1');
    assert.deepEqual(await ip.batch(["-6"], ["a 1", "b 2", "c 3"]), {
      ok: false,
      failed: "ip -6 b 2",
      output: "RTNETLINK answers: File exists",
    });
  });

  test("a program that ends without reading is a failure with its exit code", async () => {
    const outcome = await program("deaf", "exit 7").batch([], ["x".repeat(1_000_000)]);
    assert.ok(!outcome.ok);
    assert.equal(outcome.output, "exit code 7");
  });

  test("without iproute2 it says how to install it", async () => {
    await assert.rejects(
      new IpCommand(join(directory, "none"), new ManualClock()).batch([], []),
      isMeshError("host/command-failed", /apt-get install iproute2/),
    );
  });

  test("a program that hangs is ended after 10 s, and one that was ended is told apart from it", async () => {
    const clock = new ManualClock();
    const hanging = assert.rejects(program("hang", "exec sleep 1000", clock).batch([], []), {
      code: "host/command-failed",
      details: { command: join(directory, "hang"), output: "no answer within 10000 ms" },
    });
    clock.advance(10_000);
    await hanging;
    await assert.rejects(program("killed", "kill -9 $$", clock).batch([], []), {
      details: { command: join(directory, "killed"), output: "SIGKILL" },
    });
    assert.equal(clock.timerCount, 0);
  });

  test("an `ip` that is not iproute2's is told by its output", () => {
    for (const output of ["1: lo: <LOOPBACK>", '{"a":1}', "[1"])
      assert.throws(() => parseShown(output), isMeshError("host/command-failed", /apt-get install iproute2/));
    assert.deepEqual(parseShown('[]\n[{"dev":"x"}]\n'), [[], [{ dev: "x" }]]);
  });

  test("a kernel that does not permit it means: not root", () => {
    const error = commandFailed({ ok: false, failed: "ip a", output: "RTNETLINK answers: Operation not permitted" }, "do it");
    assert.ok(isMeshError("host/not-root", /sudo/)(error));
    assert.equal(error.message, "Only root may do it.");
  });

  test("a monitor tells news, and its end once, unless it was stopped", async () => {
    const news = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<string>();
    program("monitor", "echo news; exit 3").monitor(news.resolve, ended.resolve);
    await news.promise;
    assert.equal(await ended.promise, "it ended");

    const missing = Promise.withResolvers<string>();
    new IpCommand(join(directory, "none"), new ManualClock()).monitor(() => {}, missing.resolve);
    assert.match(await missing.promise, /not found/);

    const started = Promise.withResolvers<void>();
    const pidFile = join(directory, "pid");
    const endless = program("endless", `echo $$ >${pidFile}; echo news; exec sleep 1000`);
    const stop = endless.monitor(started.resolve, () => assert.fail("it was stopped"));
    await started.promise;
    const pid = Number(readFileSync(pidFile, "utf8"));
    assert.ok(isAlive(pid));
    stop();
    while (isAlive(pid)) await new Promise((resolve) => setImmediate(resolve));
  });
});
