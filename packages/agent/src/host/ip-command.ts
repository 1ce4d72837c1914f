import { MeshError } from "@mesh/core/errors";
import type { Clock } from "@mesh/core/ports";
import { Program } from "./program.ts";

/** `failed` is the command that did not work, as a person would type it; `output` is what was said about it. */
export type CommandOutcome =
  | { readonly ok: true; readonly output: string }
  | { readonly ok: false; readonly failed: string; readonly output: string };

/** iproute2's `ip`. */
export class IpCommand {
  readonly #program: Program;

  constructor(file: string, clock: Clock) {
    this.#program = new Program({ name: "ip", file, debianPackage: "iproute2", trial: "ip address", clock });
  }

  /**
   * Runs all commands in one process, in order, and stops at the first that fails; those before it stay done. With the
   * option `-force` it goes on, and the failure tells the first.
   * MeshError "host/command-failed" when the program is not there or does not end.
   */
  async batch(options: readonly string[], commands: readonly string[]): Promise<CommandOutcome> {
    const run = await this.#program.run([...options, "-batch", "-"], commands.map((command) => `${command}\n`).join(""));
    if (run.code === 0) return { ok: true, output: run.stdout };
    const line = /Command failed -:(\d+)/.exec(run.stderr)?.[1];
    const command = line === undefined ? undefined : commands[Number(line) - 1];
    const output = run.stderr.replaceAll(/^Command failed.*\n?/gm, "").trim();
    return {
      ok: false,
      failed: ["ip", ...options, command ?? "-batch -"].join(" "),
      output: output === "" ? `exit code ${run.code}` : output,
    };
  }

  /** News of links, addresses, routes and rules, see {@link Program.monitor}. */
  monitor(onNews: () => void, onEnd: (reason: string) => void): () => void {
    return this.#program.monitor(["monitor", "link", "address", "route", "rule"], onNews, onEnd);
  }
}

/** What `show` commands printed with `-json -batch`: one array a command, each on its own line. */
export function parseShown(output: string): readonly (readonly unknown[])[] {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const shown: unknown = parseJson(line);
    if (!Array.isArray(shown)) throw notIproute2(line);
    return shown;
  });
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw notIproute2(line, error);
  }
}

function notIproute2(line: string, cause?: unknown): MeshError {
  return new MeshError(
    "host/command-failed",
    "The command `ip` on this host does not print JSON as iproute2's does.",
    { command: "ip -json", output: line.slice(0, 200) },
    { hint: "Install iproute2 4.18 or later: apt-get install iproute2", cause },
  );
}
