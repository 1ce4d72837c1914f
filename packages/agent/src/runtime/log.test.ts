import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { MeshError } from "@mesh/core/errors";
import { openLog } from "./log.ts";
import { ManualClock } from "./manual-clock-fixture.ts";

const directory = mkdtempSync(join(tmpdir(), "mesh-log-"));
after(() => rmSync(directory, { recursive: true }));

function lines(file: string): Record<string, unknown>[] {
  const text = readFileSync(file, "utf8");
  assert.ok(text.endsWith("\n"));
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

describe("openLog", () => {
  test("appends one JSON object a line: level by name, ISO time, no pid or host", () => {
    const file = join(directory, "agent.log");
    writeFileSync(file, '{"msg":"older"}\n');
    const { log, close } = openLog({ file, level: "info", foreground: false });
    log.info({ node: "n1", slot: 3 }, "peer is up");
    log.debug("below the level");
    close();
    const [older, entry, ...rest] = lines(file);
    assert.equal(older?.["msg"], "older");
    assert.match(String(entry?.["time"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    delete entry?.["time"];
    assert.deepEqual(entry, { level: "info", node: "n1", slot: 3, msg: "peer is up" });
    assert.deepEqual(rest, []);
  });

  test("a new file is 0600", () => {
    const file = join(directory, "new.log");
    openLog({ file, level: "info", foreground: false }).close();
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  test("an error shows its code, facts and hint", () => {
    const file = join(directory, "error.log");
    const { log, close } = openLog({ file, level: "info", foreground: false });
    log.error({ err: new MeshError("host/not-root", "Only root may do it.", { action: "do it" }, { hint: "sudo" }) }, "failed");
    close();
    const err = lines(file)[0]?.["err"] as Record<string, unknown>;
    assert.equal(err["code"], "host/not-root");
    assert.deepEqual(err["details"], { action: "do it" });
    assert.equal(err["hint"], "sudo");
  });

  test("a full disk loses lines, not the agent", { skip: process.platform !== "linux" && "needs /dev/full" }, () => {
    const { log, close } = openLog({ file: "/dev/full", level: "info", foreground: false });
    log.info("nowhere");
    log.info("nowhere");
    close();
    log.info("after close");
  });

  test("a burst of one message is counted, under the name of the part that says it", () => {
    const file = join(directory, "burst.log");
    const clock = new ManualClock();
    const { log, close } = openLog({ file, level: "info", foreground: false, clock });
    const part = log.child({ part: "control" });
    for (let i = 0; i < 30; i++) part.warn({ node: `n${i}` }, "refused");
    log.warn("refused otherwise");
    clock.advance(60_000);
    close();
    const entries = lines(file);
    assert.equal(entries.length, 22);
    const { time: _, ...last } = entries.at(-1) ?? {};
    assert.deepEqual(last, { level: "warn", part: "control", repeated: 10, msg: "refused" });
  });

  test("a file that cannot be opened is said with its path", () => {
    assert.throws(
      () => openLog({ file: join(directory, "none/agent.log"), level: "info", foreground: false }),
      (error: unknown) => error instanceof MeshError && error.code === "agent/failed" && error.message.includes("none/agent.log"),
    );
  });
});
