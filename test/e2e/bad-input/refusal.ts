import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { MeshAgent } from "../lab/agent.ts";
import type { LabHost } from "../lab/lab.ts";

/** What an error that a person reads never holds. */
export const STACK_TRACE: RegExp = /\n\s+at |node:internal|\.ts:\d+/;

export interface Refusal {
  readonly code: number;
  readonly says: RegExp;
  readonly hints: RegExp;
}

/** The command is refused, and the host is as it was before; no state of the network is left either. */
export async function refuses(agent: MeshAgent, args: readonly string[], refusal: Refusal & { readonly network: string }): Promise<void> {
  await refusesAndKeeps(agent, args, refusal);
  assert.equal(existsSync(join(agent.stateDir, refusal.network)), false, `${args.join(" ")} left a state directory`);
}

/** As {@link refuses}, where there was a network before. No agent may run. */
export async function refusesAndKeeps(agent: MeshAgent, args: readonly string[], refusal: Refusal): Promise<void> {
  const before = await hostState(agent.host);
  const { code, stderr, ms } = await agent.mesh(args);
  assert.equal(code, refusal.code, `${args.join(" ")}: ${stderr}`);
  explains(stderr, refusal);
  assert.ok(ms < 30_000, `${args[0]} took ${Math.round(ms)} ms`);
  await nothingRuns(agent);
  assert.equal(await hostState(agent.host), before);
}

/** Progress may come first; the last two lines are the sentence and what to do. */
export function explains(stderr: string, { says, hints }: Pick<Refusal, "says" | "hints">): void {
  const lines = stderr.trimEnd().split("\n");
  const sentence = lines.findIndex((line) => line.startsWith("mesh: "));
  assert.notEqual(sentence, -1, stderr);
  assert.match(lines[sentence] ?? "", says);
  assert.match(lines.slice(sentence).join(" "), hints);
  assert.doesNotMatch(stderr, STACK_TRACE);
}

export async function nothingRuns(agent: MeshAgent): Promise<void> {
  const commandLines = await Promise.all(agent.host.pids().map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  assert.equal(
    commandLines.some((line) => line.includes(agent.stateDir) || line.includes("packages/agent/src/main.ts")),
    false,
  );
}

/** Addresses and routes as the kernel has them. */
export async function hostState(host: LabHost): Promise<string> {
  const parts = await Promise.all([host.run("ip", ["-br", "addr"]), host.run("ip", ["-4", "route"]), host.run("ip", ["-6", "route"])]);
  return parts.map(({ stdout }) => stdout).join("");
}
