import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { StepTranscript } from "./transcript.ts";

/** The transcripts of one engine, by seed, from a process in a network namespace of its own. */
export async function runScenarios(
  backend: "native" | "twin",
  { seeds, events }: { readonly seeds: readonly number[]; readonly events: number },
): Promise<ReadonlyMap<number, readonly StepTranscript[]>> {
  const self = [process.execPath, join(import.meta.dirname, "run-scenario.ts"), backend, String(events), ...seeds.map(String)];
  const child = spawn("unshare", ["--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"', ...self], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [output, errors] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    errors += chunk;
  });
  const [status] = (await once(child, "close")) as [number | null];
  assert.equal(status, 0, `the ${backend} engine's run failed:\n${errors}`);
  const blocks = output.split("\n\n");
  return new Map(seeds.map((seed, i) => [seed, readLines(blocks[i] ?? "")]));
}

/** Fails at the first step in which they differ. */
export function assertSame(native: readonly StepTranscript[], twin: readonly StepTranscript[]): void {
  for (const [i, step] of native.entries()) {
    assert.deepEqual(twin[i], step, `step ${i}: ${step.step}`);
  }
  assert.equal(twin.length, native.length);
}

function readLines(block: string): readonly StepTranscript[] {
  return block
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as StepTranscript);
}
