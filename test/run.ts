/**
 * node test/run.ts check | test | test:e2e | verify
 *
 * The one runner of the project. It stops at the first static step that fails and runs all tests otherwise.
 * Its last line is `N passed, N failed, N skipped`; a static step that failed counts as one failed. The exit code is 0
 * only when nothing failed and at least one test ran.
 */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { prepareHost } from "./prepare-host.ts";
import type { FilesOutcome, TestCounts } from "./run-files.ts";
import { formatSeconds, paint, runFiles } from "./run-files.ts";

const ROOT: string = join(import.meta.dirname, "..");
/** Milliseconds for one test without a network: all of them together have 15 s. */
const UNIT_TIMEOUT = 30_000;
/** Milliseconds for one test with real agents: a slow machine starts three of them in 20 s. */
const E2E_TIMEOUT = 300_000;

interface Step {
  readonly name: string;
  readonly run: () => Promise<FilesOutcome | boolean>;
}

const staticSteps: readonly Step[] = [
  { name: "format", run: () => runTool("biome", ["check", "."]) },
  { name: "promises", run: () => runTool("oxlint", ["--type-aware", "--config", "oxlint.json", "packages", "test"]) },
  { name: "types", run: async () => (await runTool("tsc", ["-b"])) && (await runTool("tsc", ["-p", "tsconfig.test.json"])) },
];
const testStep: Step = {
  name: "test",
  run: () =>
    runFiles({ files: findTests(["packages/**/*.test.ts", "test/{arch,bench,fuzz,sim,vectors}/**/*.test.ts"]), timeout: UNIT_TIMEOUT }),
};
/** Wait for minutes and need nothing of the machine: they go beside the others. */
const WAITING: readonly string[] = ["wireguard-rekey.test.ts"];
const e2eStep: Step = {
  name: "test:e2e",
  run: async () => {
    const files = findTests(["test/e2e/**/*.test.ts"]);
    const isWaiting = (file: string): boolean => WAITING.includes(basename(file));
    const lanes = [files.filter((file) => !isWaiting(file)), files.filter(isWaiting)];
    const outcomes = await Promise.all(lanes.map((lane) => runFiles({ files: lane, concurrency: 1, timeout: E2E_TIMEOUT })));
    return joinOutcomes(outcomes);
  },
};
const hostStep: Step = {
  name: "host",
  run: async () => {
    await prepareHost(["engine", "network", "firewall", "ping", "throughput", "capture", "portmap", "wireguard", "service", "shells"]);
    return true;
  },
};

const commands: Readonly<Record<string, readonly Step[]>> = {
  check: [...staticSteps, testStep],
  test: [testStep],
  "test:e2e": [e2eStep],
  verify: [hostStep, ...staticSteps, testStep, e2eStep],
};

await main();

async function main(): Promise<void> {
  const steps = commands[process.argv[2] ?? ""];
  if (steps === undefined || process.argv.length > 3) {
    console.error(`usage: node test/run.ts ${Object.keys(commands).join(" | ")}`);
    process.exitCode = 2;
    return;
  }
  process.chdir(ROOT);
  // Test processes share compiled code; the directory is ignored by git.
  process.env["NODE_COMPILE_CACHE"] ??= join(ROOT, "node_modules/.cache/compiled");
  await runSteps(steps);
}

async function runSteps(steps: readonly Step[]): Promise<void> {
  const outcomes: FilesOutcome[] = [];
  const times: string[] = [];
  let failedSteps = 0;
  for (const step of steps) {
    const startedAt = performance.now();
    console.log(paint("bold", `\n${step.name}`));
    const outcome = await step.run();
    const took = formatSeconds(performance.now() - startedAt);
    times.push(`${step.name} ${took}`);
    if (typeof outcome !== "boolean") outcomes.push(outcome);
    else if (outcome) console.log(`${paint("green", "✓")} ${step.name}  ${paint("gray", took)}`);
    else {
      failedSteps = 1;
      console.log(`${paint("red", "✗")} ${step.name} failed, so what comes after it was not run.`);
      break;
    }
  }
  report(outcomes, { failedSteps, times });
}

function report(outcomes: readonly FilesOutcome[], steps: { readonly failedSteps: number; readonly times: readonly string[] }): void {
  const skips = outcomes.flatMap((outcome) => outcome.skips);
  if (skips.length > 0) console.log(`\n${paint("yellow", "skipped")}\n${skips.map((skip) => `  ${skip}`).join("\n")}`);
  let [passed, failed, skipped] = [0, steps.failedSteps, 0];
  for (const { counts } of outcomes) {
    passed += counts.passed;
    failed += counts.failed;
    skipped += counts.skipped;
  }
  if (passed + failed === 0) console.log("\nNo test ran.");
  console.log(`\n${paint("gray", `time: ${steps.times.join(", ")}`)}`);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

function joinOutcomes(outcomes: readonly FilesOutcome[]): FilesOutcome {
  const sum = (of: keyof TestCounts): number => outcomes.reduce((total, { counts }) => total + counts[of], 0);
  return {
    counts: { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") },
    skips: outcomes.flatMap(({ skips }) => skips),
  };
}

function findTests(patterns: readonly string[]): readonly string[] {
  return globSync(patterns, { cwd: ROOT, exclude: ["**/node_modules", "**/dist", "**/build"] })
    .sort()
    .map((file) => join(ROOT, file));
}

/** Runs a tool of node_modules; its output is shown only when it fails. */
async function runTool(name: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(join(ROOT, "node_modules/.bin", name), args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: process.stdout.isTTY ? { ...process.env, FORCE_COLOR: "1" } : process.env,
  });
  const output: string[] = [];
  child.stdout.setEncoding("utf8").on("data", (text: string) => output.push(text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => output.push(text));
  const code = await new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  if (code !== 0) process.stdout.write(output.join(""));
  return code === 0;
}
