import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { PassThrough } from "node:stream";
import { describe, test } from "node:test";
import { launchProgress } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import { LaunchChannel, openProgressLine, readLaunchOrder } from "./launch-channel.ts";
import { ManualClock } from "./manual-clock-fixture.ts";

const ORDER = { command: "join", stateRoot: "/tmp/x", invite: "secret-invite" };

function isUsageError(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof MeshError && error.code === "usage/invalid", String(error));
    assert.match(error.message, pattern);
    assert.doesNotMatch(`${error.message}${JSON.stringify(error.details)}`, /secret/);
    return true;
  };
}

describe("readLaunchOrder", () => {
  test("reads one line, in pieces, and lets go of the input", async () => {
    const [input, clock] = [new PassThrough(), new ManualClock()];
    const order = readLaunchOrder(input, clock);
    for (const byte of Buffer.from(`${JSON.stringify(ORDER)}\n`)) input.write(Buffer.of(byte));
    assert.deepEqual(await order, ORDER);
    assert.ok(input.destroyed);
    assert.equal(clock.timerCount, 0);
  });

  test("gives up after 5 s", async () => {
    const [input, clock] = [new PassThrough(), new ManualClock()];
    const order = assert.rejects(readLaunchOrder(input, clock), isUsageError(/5 s/));
    input.write("{");
    clock.advance(5_000);
    await order;
    assert.ok(input.destroyed);
  });

  const wrong: Readonly<Record<string, readonly [string, RegExp]>> = {
    "no JSON": ["secret-invite\n", /not JSON/],
    "a wrong shape": ['{"command":"fly","stateRoot":"/x","invite":"secret"}\n', /command must be one of/],
    "an unknown key": ['{"command":"up","stateRoot":"/x","sudo":true}\n', /sudo/],
    "an early end": ['{"command":"up"', /ends before/],
    "too long a line": [`"${"x".repeat(70_000)}"\n`, /longer/],
    "an endless line": ["x".repeat(70_000), /longer/],
  };
  for (const [what, [text, pattern]] of Object.entries(wrong))
    test(`refuses ${what} without repeating it`, async () => {
      const input = new PassThrough();
      const order = assert.rejects(readLaunchOrder(input, new ManualClock()), isUsageError(pattern));
      input.end(text);
      await order;
    });
});

class Lines {
  readonly lines: string[] = [];
  isClosed = false;
  error: Error | undefined;
  write(line: string): void {
    if (this.error !== undefined) throw this.error;
    assert.ok(!this.isClosed);
    this.lines.push(line);
  }
  close(): void {
    this.isClosed = true;
  }
}

describe("LaunchChannel", () => {
  test("sends lines of the contract and closes after the last", () => {
    const lines = new Lines();
    const channel = new LaunchChannel(lines, () => 41.7);
    channel.step("keys are made");
    channel.ready("home", "/run/mesh/home.sock");
    channel.step("too late");
    channel.failed(new Error("too late"));
    assert.deepEqual(
      lines.lines.map((line) => launchProgress(JSON.parse(line), "")),
      [
        { type: "step", text: "keys are made", ms: 42 },
        { type: "ready", network: "home", socket: "/run/mesh/home.sock", ms: 42 },
      ],
    );
    assert.ok(lines.isClosed);
  });

  test("a failure carries code, sentence, hint and facts; another error is agent/failed", () => {
    const [known, unknown] = [new Lines(), new Lines()];
    new LaunchChannel(known, () => 0).failed(new MeshError("host/not-root", "Only root may.", { action: "x" }, { hint: "Use sudo." }));
    new LaunchChannel(unknown, () => 0).failed(new TypeError("bug"));
    assert.deepEqual(JSON.parse(known.lines[0] ?? ""), {
      type: "failed",
      error: { code: "host/not-root", message: "Only root may.", hint: "Use sudo.", details: { action: "x" } },
    });
    const failed = launchProgress(JSON.parse(unknown.lines[0] ?? ""), "");
    assert.ok(failed.type === "failed" && failed.error.code === "agent/failed" && failed.error.message === "bug");
  });

  test("nobody listening, or nobody any more, changes nothing", () => {
    const lines = new Lines();
    lines.error = Object.assign(new Error("write EPIPE"), { code: "EPIPE" });
    for (const channel of [new LaunchChannel(undefined, () => 0), new LaunchChannel(lines, () => 0)]) {
      channel.step("x");
      channel.ready("home", "/s");
      channel.failed(new Error("x"));
    }
    assert.ok(lines.isClosed);
  });

  test("a reader that does not read never makes the agent wait: steps end before a pipe is full, the last line comes", () => {
    const lines = new Lines();
    const channel = new LaunchChannel(lines, () => 0);
    for (let i = 0; i < 10_000; i++) channel.step("x".repeat(10_000));
    channel.failed(new MeshError("agent/failed", "y".repeat(100_000), { reason: "z".repeat(100_000) }, { hint: "h".repeat(100_000) }));
    assert.ok(Buffer.byteLength(lines.lines.join("")) < 40_000);
    assert.match(lines.lines.at(-1) ?? "", /"failed"/);
  });
});

const SCRIPT = `
  import { LaunchChannel, openProgressLine } from ${JSON.stringify(new URL("./launch-channel.ts", import.meta.url).href)};
  const channel = new LaunchChannel(openProgressLine(), () => performance.now());
  channel.step("one");
  process.stdin.once("end", () => { channel.step("two"); channel.ready("home", "/s"); process.stdout.write("alive"); }).resume();
`;

function startProcess(progress: "pipe" | "ignore"): ChildProcess {
  return spawn(process.execPath, ["--input-type=module", "--eval", SCRIPT], { stdio: ["pipe", "pipe", "inherit", progress] });
}

async function textOf(stream: NodeJS.ReadableStream | null | undefined): Promise<string> {
  let text = "";
  for await (const chunk of stream ?? []) text += String(chunk);
  return text;
}

describe("openProgressLine", () => {
  test("reaches the process that started us, on descriptor 3", async () => {
    const child = startProcess("pipe");
    child.stdin?.end();
    const text = await textOf(child.stdio[3] as NodeJS.ReadableStream);
    assert.deepEqual(
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).type),
      ["step", "step", "ready"],
    );
  });

  test("a reader that went away does not end us", async () => {
    const child = startProcess("pipe");
    (child.stdio[3] as import("node:net").Socket).once("data", () => {
      (child.stdio[3] as import("node:net").Socket).destroy();
      child.stdin?.end();
    });
    assert.equal(await textOf(child.stdout), "alive");
  });

  test("without one, what Node itself keeps on descriptor 3 is left alone", async () => {
    const child = startProcess("ignore");
    child.stdin?.end();
    assert.equal(await textOf(child.stdout), "alive");
    assert.equal(openProgressLine(9_999), undefined);
    const file = openSync("/dev/null", "w");
    assert.equal(openProgressLine(file), undefined);
    closeSync(file);
  });
});
