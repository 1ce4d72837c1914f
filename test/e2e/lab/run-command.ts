import type { ChildProcess } from "node:child_process";
import { spawn, spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

export interface CommandResult {
  /** Null when a signal ended it, the one of the time limit included. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

export interface CommandOptions {
  /** Written to standard input, which is then closed. */
  readonly input?: string;
  /** Milliseconds until it is killed; 30 s unless told. */
  readonly timeout?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** How long output may still arrive after the command has ended: what it left in the background may hold the pipe open for ever. */
const DRAIN_TIMEOUT = 500;

/** Never rejects for what the command does; it does when there is no such command. */
export async function runCommand(command: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const startedAt = performance.now();
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env: options.env, cwd: options.cwd });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  // A command that ends without reading its input is no error of ours.
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  const limit = setTimeout(() => child.kill("SIGKILL"), options.timeout ?? 30_000);
  try {
    const code = await exitOf(child);
    await Promise.race([Promise.all([stdout.ended, stderr.ended]), sleep(DRAIN_TIMEOUT, undefined, { ref: false })]);
    return { code, stdout: stdout.text(), stderr: stderr.text(), ms: performance.now() - startedAt };
  } finally {
    clearTimeout(limit);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

/** The command's output. Throws with what it wrote when it does not end with 0. */
export async function mustRun(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, args, options);
  if (code !== 0) throw new Error(`${[command, ...args].join(" ")} ended with ${code ?? "a signal"}: ${(stderr || stdout).trim()}`);
  return stdout;
}

/** For the ways out of a process, where nothing can be awaited. The output, or undefined when it failed. */
export function runSync(command: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8", timeout: 5_000, stdio: ["ignore", "pipe", "ignore"] });
  return status === 0 ? stdout : undefined;
}

export function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => child.once("error", reject).once("exit", (code) => resolve(code)));
}

interface Collected {
  readonly ended: Promise<void>;
  text(): string;
}

function collect(stream: NodeJS.ReadableStream): Collected {
  const parts: string[] = [];
  stream.setEncoding("utf8");
  stream.on("data", (part: string) => parts.push(part));
  return { ended: new Promise((resolve) => stream.once("close", () => resolve())), text: () => parts.join("") };
}
