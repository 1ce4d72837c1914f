import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { LogFile } from "./log-file.ts";

const LIMIT = 1_000;

let directory = "";
let path = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mesh-log-file-"));
  path = join(directory, "agent.log");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function lines(file: string): readonly string[] {
  return readFileSync(file, "utf8").trimEnd().split("\n");
}

const line = `${"x".repeat(99)}\n`;

test("a full file becomes the older one, 0600 both, and never more than these two", () => {
  const file = new LogFile(path, LIMIT);
  for (let i = 0; i < 35; i++) file.write(line);
  file.close();
  assert.deepEqual(readdirSync(directory).sort(), ["agent.log", "agent.log.1"]);
  assert.deepEqual([lines(`${path}.1`).length, lines(path).length], [10, 5]);
  for (const name of [path, `${path}.1`]) assert.equal(statSync(name).mode & 0o777, 0o600);
});

test("what an earlier process wrote counts, and a line longer than the limit is written", () => {
  writeFileSync(path, line.repeat(10));
  const file = new LogFile(path, LIMIT);
  file.write(line);
  assert.deepEqual([lines(`${path}.1`).length, lines(path).length], [10, 1]);
  file.write(`${"y".repeat(5_000)}\n`);
  file.write(line);
  file.close();
  assert.deepEqual(lines(`${path}.1`), ["y".repeat(5_000)]);
  assert.deepEqual(lines(path).length, 1);
});

test("a file moved or removed under the writer is opened anew", () => {
  const file = new LogFile(path, LIMIT);
  file.write("one\n");
  renameSync(path, `${path}.1`);
  file.write("two\n");
  rmSync(path);
  file.write("three\n");
  assert.deepEqual([lines(`${path}.1`), lines(path)], [["one"], ["three"]]);
  file.close();
});

test("without its directory lines are lost and counted, and no directory is made; with a new one it goes on", () => {
  const file = new LogFile(path, LIMIT);
  file.write("one\n");
  rmSync(directory, { recursive: true });
  file.write("two\n");
  file.write("three\n");
  assert.ok(!existsSync(directory));
  mkdirSync(directory);
  file.write("four\n");
  const [lost, four] = lines(path);
  assert.equal(JSON.parse(lost ?? "").count, 2);
  assert.equal(four, "four");
  file.close();
});

test("after close nothing is written and nothing is made", () => {
  const file = new LogFile(path, LIMIT);
  file.close();
  rmSync(path);
  file.write("late\n");
  assert.ok(!existsSync(path));
});

test("another one's lock is respected, one left behind is removed", () => {
  writeFileSync(path, line.repeat(10));
  writeFileSync(`${path}.lock`, "");
  const file = new LogFile(path, LIMIT);
  file.write(line);
  assert.ok(!existsSync(`${path}.1`));
  assert.equal(lines(path).length, 11);
  utimesSync(`${path}.lock`, 1, 1);
  file.write(line);
  file.write(line);
  file.close();
  assert.deepEqual(readdirSync(directory).sort(), ["agent.log", "agent.log.1"]);
});

test("four processes that fill the file at once lose no line but those of files that were replaced, and tear none", async () => {
  const script = join(directory, "write.ts");
  writeFileSync(
    script,
    `import { LogFile } from ${JSON.stringify(fileURLToPath(new URL("./log-file.ts", import.meta.url)))};
     const file = new LogFile(${JSON.stringify(path)}, 40_000);
     for (let i = 0; i < 150; i++) file.write(JSON.stringify({ who: process.argv[2], i, rest: "x".repeat(100) }) + "\\n");
     file.close();`,
  );
  const codes = await Promise.all(
    ["a", "b", "c", "d"].map(
      (who) =>
        new Promise((resolve) => {
          spawn(process.execPath, [script, who], { stdio: "ignore" }).once("exit", resolve);
        }),
    ),
  );
  assert.deepEqual(codes, [0, 0, 0, 0]);
  // 600 lines of 130 bytes are 78 kB: moved away once, so that all of them are in the two files.
  const entries = [`${path}.1`, path].flatMap((file) => lines(file).map((text) => JSON.parse(text) as { who: string; i: number }));
  assert.equal(entries.length, 600);
  for (const who of ["a", "b", "c", "d"]) {
    const own = entries.filter((entry) => entry.who === who).map(({ i }) => i);
    assert.deepEqual(
      [...own].sort((x, y) => x - y),
      Array.from({ length: 150 }, (_, i) => i),
    );
  }
  assert.ok(!existsSync(`${path}.lock`));
});
