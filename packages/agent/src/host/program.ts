import { type ChildProcess, spawn } from "node:child_process";
import { MeshError } from "@mesh/core/errors";
import { type Clock, type Millis, seconds } from "@mesh/core/ports";

/** Longest one run may take. A plan takes milliseconds; only a kernel that hangs on its routing lock takes longer. */
const RUN_TIMEOUT: Millis = seconds(10);

/** Where network tools are installed: services are often started with a PATH that lacks the sbin directories. */
const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Ends the monitor when standard input ends, which it does however this process ends, SIGKILL included. (Left to itself
 * it would live until its next message: measured, it outlives a killed agent whose TUN was opened after it.) The shell
 * lets go of its own output, so that the output's end means the monitor's end.
 */
const MONITOR_SCRIPT = '"$0" "$@" & exec >&- 2>&-; read -r _; kill "$!"';

/** Of what the monitor said, in characters: its last words may come in pieces. */
const MAX_SAID = 500;

/** Tells news of one kind until it is stopped; `onEnd` once when it ended by itself. Returns its stop. */
export type StartMonitor = (onNews: () => void, onEnd: (reason: string) => void) => () => void;

export interface FinishedRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  /** Its command as a person types it: `ip`. */
  readonly name: string;
  /** What is started; the name, or a path. */
  readonly file: string;
  /** Of Debian, that brings it. */
  readonly debianPackage: string;
  /** Harmless to type: shows whether the program works at all. */
  readonly trial: string;
  readonly clock: Clock;
}

/** A network tool of the host. Nothing else in the agent starts processes. */
export class Program {
  readonly #options: ProgramOptions;

  constructor(options: ProgramOptions) {
    this.#options = options;
  }

  /** MeshError "host/command-failed" when the program is not there or does not end; every exit code is a result. */
  run(args: readonly string[], input: string): Promise<FinishedRun> {
    const { file, clock } = this.#options;
    return new Promise((resolve, reject) => {
      const child = start(file, args);
      let isLate = false;
      const cancel = clock.at(clock.now() + RUN_TIMEOUT, () => {
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

  /** `onNews` is called for every piece of output, `onEnd` once when it ended by itself. Returns its stop. */
  monitor(args: readonly string[], onNews: () => void, onEnd: (reason: string) => void): () => void {
    const child = start("sh", ["-c", MONITOR_SCRIPT, this.#options.file, ...args]);
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

  #startFailed(error: NodeJS.ErrnoException): MeshError {
    const { name, file, debianPackage, trial } = this.#options;
    const isMissing = error.code === "ENOENT";
    const message = isMissing ? `The command \`${name}\` is not installed.` : `The command \`${name}\` could not be started.`;
    const hint = isMissing ? `Install it: apt-get install ${debianPackage}` : `Try \`${trial}\` by hand.`;
    return new MeshError("host/command-failed", message, { command: file, output: error.message }, { hint, cause: error });
  }

  #ended(reason: string): MeshError {
    const { name, file, trial } = this.#options;
    return new MeshError(
      "host/command-failed",
      `The command \`${name}\` did not answer in time or was ended.`,
      { command: file, output: reason },
      { hint: `Try \`${trial}\` by hand: if it hangs too, the kernel does.` },
    );
  }
}

function start(file: string, args: readonly string[]): ChildProcess {
  const path = [process.env["PATH"], SYSTEM_PATH].filter((part) => part !== undefined && part !== "").join(":");
  return spawn(file, args, { stdio: "pipe", env: { PATH: path, LC_ALL: "C" } });
}
