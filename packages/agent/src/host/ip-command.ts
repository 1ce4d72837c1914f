import { type ChildProcess, spawn } from "node:child_process";
import { MeshError } from "@mesh/core/errors";
import { type Clock, type Millis, seconds } from "@mesh/core/ports";

/** Longest one run may take. A plan takes milliseconds; only a kernel that hangs on its routing lock takes longer. */
const RUN_TIMEOUT: Millis = seconds(10);

/** Where `ip` is installed: services are often started with a PATH that lacks the sbin directories. */
const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Ends the monitor when standard input ends, which it does however this process ends, SIGKILL included. (Left to itself
 * it would live until its next message: measured, it outlives a killed agent whose TUN was opened after it.) The shell
 * lets go of its own output, so that the output's end means the monitor's end.
 */
const MONITOR_SCRIPT = '"$0" monitor link address route & exec >&- 2>&-; read -r _; kill "$!"';

/** Of what the monitor said, in characters: its last words may come in pieces. */
const MAX_SAID = 500;

/** `failed` is the command that did not work, as a person would type it; `output` is what `ip` said about it. */
export type IpOutcome =
  | { readonly ok: true; readonly output: string }
  | { readonly ok: false; readonly failed: string; readonly output: string };

interface FinishedRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** iproute2's `ip`. Nothing else in the agent starts processes. */
export class IpCommand {
  readonly #program: string;
  readonly #clock: Clock;

  constructor(program: string, clock: Clock) {
    this.#program = program;
    this.#clock = clock;
  }

  /**
   * Runs all commands in one process, in order, and stops at the first that fails; those before it stay done.
   * MeshError "host/command-failed" when the program is not there or does not end.
   */
  async batch(options: readonly string[], commands: readonly string[]): Promise<IpOutcome> {
    const run = await this.#run([...options, "-batch", "-"], commands.map((command) => `${command}\n`).join(""));
    if (run.code === 0) return { ok: true, output: run.stdout };
    const line = /Command failed -:(\d+)/.exec(run.stderr)?.[1];
    const command = line === undefined ? undefined : commands[Number(line) - 1];
    const output = run.stderr.replace(/^Command failed.*\n?/m, "").trim();
    return {
      ok: false,
      failed: ["ip", ...options, command ?? "-batch -"].join(" "),
      output: output === "" ? `exit code ${run.code}` : output,
    };
  }

  /** Runs `ip monitor`; `onNews` is called for every piece of output, `onEnd` once when it ended by itself. Returns its stop. */
  monitor(onNews: () => void, onEnd: (reason: string) => void): () => void {
    const child = this.#spawn("sh", ["-c", MONITOR_SCRIPT, this.#program]);
    let isOver = false;
    let said = "";
    const end = (reason: string): void => {
      child.stdin?.destroy();
      if (!isOver) onEnd(reason);
      isOver = true;
    };
    child.stdin?.on("error", () => {});
    // The shell around it ends with its input; only then is all of its error output here.
    child.stdout?.on("data", onNews).once("end", () => child.stdin?.destroy());
    child.once("close", () => end(said.trim() || "it ended"));
    // It writes here when the kernel had more news than the socket could hold: something changed, too.
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-MAX_SAID);
      onNews();
    });
    child.once("error", (error) => end(error.message));
    return () => {
      isOver = true;
      child.stdin?.destroy();
    };
  }

  #run(args: readonly string[], input: string): Promise<FinishedRun> {
    return new Promise((resolve, reject) => {
      const child = this.#spawn(this.#program, args);
      let isLate = false;
      const cancel = this.#clock.at(this.#clock.now() + RUN_TIMEOUT, () => {
        isLate = true;
        child.kill("SIGKILL");
      });
      const stdout: string[] = [];
      const stderr: string[] = [];
      child.stdout?.setEncoding("utf8").on("data", (text: string) => stdout.push(text));
      child.stderr?.setEncoding("utf8").on("data", (text: string) => stderr.push(text));
      child.once("error", (error) => {
        cancel();
        reject(this.#startFailed(error));
      });
      child.once("close", (code, signal) => {
        cancel();
        if (signal === null) resolve({ code, stdout: stdout.join(""), stderr: stderr.join("") });
        else reject(this.#ended(isLate ? `no answer within ${RUN_TIMEOUT} ms` : signal));
      });
      // It may end before it has read everything: its exit code tells why.
      child.stdin?.on("error", () => {});
      child.stdin?.end(input);
    });
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    const path = [process.env["PATH"], SYSTEM_PATH].filter((part) => part !== undefined && part !== "").join(":");
    return spawn(program, args, { stdio: "pipe", env: { PATH: path, LC_ALL: "C" } });
  }

  #startFailed(error: NodeJS.ErrnoException): MeshError {
    const isMissing = error.code === "ENOENT";
    const message = isMissing ? "The command `ip` is not installed." : "The command `ip` could not be started.";
    const hint = isMissing ? "Install it: apt-get install iproute2" : "Try `ip address` by hand.";
    return new MeshError("host/command-failed", message, { command: this.#program, output: error.message }, { hint, cause: error });
  }

  #ended(reason: string): MeshError {
    return new MeshError(
      "host/command-failed",
      "The command `ip` did not answer in time or was ended.",
      { command: this.#program, output: reason },
      { hint: "Try `ip address` by hand: if it hangs too, the kernel does." },
    );
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
