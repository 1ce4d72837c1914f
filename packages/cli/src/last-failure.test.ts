import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { lastFailure } from "./last-failure.ts";

const directory = mkdtempSync(join(tmpdir(), "last-failure-"));
after(() => rmSync(directory, { recursive: true }));

const serving = '{"level":"info","msg":"serving"}';
const fatal = '{"level":"fatal","err":{"message":"the packet engine stopped"},"msg":"stopping after an error"}';
const undone = '{"level":"info","msg":"what was changed on this host is undone"}';

for (const [what, lines, reason] of [
  ["a failure", [serving, fatal, undone, ""], "the packet engine stopped"],
  ["a failure behind much else", [serving, ...Array<string>(2_000).fill(undone), fatal], "the packet engine stopped"],
  ["an earlier run's failure", [fatal, serving], undefined],
  ["a wanted end", [fatal, serving, '{"level":"info","msg":"stopping"}', undone], undefined],
  [
    "an error after a wanted end",
    [serving, '{"level":"info","msg":"stopping"}', '{"level":"fatal","err":{"message":"x"},"msg":"error while stopping"}'],
    undefined,
  ],
  ["what is no log", ["Error: something", "{", "null"], undefined],
] as const)
  test(`${what}: ${reason ?? "nothing"}`, async () => {
    const log = join(directory, "agent.log");
    writeFileSync(log, lines.join("\n"));
    assert.equal(await lastFailure(log), reason);
  });

test("no log: nothing", async () => assert.equal(await lastFailure(join(directory, "none")), undefined));
