import { type SpawnOptionsWithStdioTuple, type StdioNull, type StdioPipe, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Megabytes resident of a process, as the kernel counts them. */
export function residentOf(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes ?? 0) / 1_000;
}

/** With a compile cache, as the launcher gives one to the agent: without it sources weigh 25 to 40 MB more. */
const OPTIONS: SpawnOptionsWithStdioTuple<StdioNull, StdioPipe, StdioNull> = {
  stdio: ["ignore", "pipe", "inherit"],
  env: { ...process.env, NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? join(homedir(), ".cache/mesh") },
};

export interface BareLibp2p {
  readonly pid: number;
  close(): void;
}

/** Bare libp2p with one connection, to another such process. */
export async function openBareLibp2p(): Promise<BareLibp2p> {
  const program = join(import.meta.dirname, "bare-libp2p.ts");
  const listener = spawn(process.execPath, [program], OPTIONS);
  const address = await new Promise<string>((resolve) => listener.stdout.once("data", (line: Buffer) => resolve(line.toString().trim())));
  const dialler = spawn(process.execPath, [program, address], OPTIONS);
  return {
    pid: dialler.pid ?? 0,
    close: () => {
      dialler.kill("SIGKILL");
      listener.kill("SIGKILL");
    },
  };
}
