import { readFileSync } from "node:fs";
import type { MeshAgent } from "../lab/agent.ts";

export type Victim = "agent" | "command" | "both";

export interface KillMoment {
  readonly victim: Victim;
  /** Milliseconds after the command was typed. */
  readonly after: number;
}

const PROGRAMS: Readonly<Record<"agent" | "command", string>> = {
  agent: "packages/agent/src/main.ts",
  command: "packages/cli/src/main.ts",
};

/** kill -9. Returns how many processes were there to kill. */
export function killAll(agent: MeshAgent, victim: Victim): number {
  const wanted = victim === "both" ? Object.values(PROGRAMS) : [PROGRAMS[victim]];
  const pids = agent.host.pids().filter((pid) => commandLine(pid).some((word) => wanted.some((program) => word.endsWith(program))));
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
  return pids.length;
}

/** Of all processes of the host. */
export function commandLines(agent: MeshAgent): readonly string[] {
  return agent.host
    .pids()
    .map((pid) => commandLine(pid).join(" "))
    .filter((line) => line !== "");
}

function commandLine(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}
