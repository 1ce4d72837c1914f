import { fileURLToPath } from "node:url";
import { run } from "./run.ts";
import type { CommandOutcome, EndSignal, Output, Surroundings } from "./surroundings.ts";

const END_SIGNALS: readonly EndSignal[] = ["SIGINT", "SIGTERM", "SIGHUP"];

const surroundings: Surroundings = {
  env: process.env,
  get directory() {
    return process.cwd();
  },
  stdout: outputOf(process.stdout),
  stderr: outputOf(process.stderr),
  clock: {
    wallNow: () => Date.now(),
    after: (milliseconds, fn) => {
      const timer = setTimeout(fn, milliseconds);
      return () => clearTimeout(timer);
    },
  },
  agent: { runtime: process.execPath, entry: fileURLToPath(new URL("../../agent/src/main.ts", import.meta.url)) },
  openInput: () => ({ isTerminal: process.stdin.isTTY === true, [Symbol.asyncIterator]: () => process.stdin[Symbol.asyncIterator]() }),
  host: {
    command: fileURLToPath(import.meta.url),
    unitDirectory: "/etc/systemd/system",
    systemdMark: "/run/systemd/system",
    proc: "/proc",
    osRelease: "/etc/os-release",
    run: runCommand,
  },
  onEndRequest: (fn) => {
    for (const signal of END_SIGNALS) process.on(signal, fn);
    return () => {
      for (const signal of END_SIGNALS) process.off(signal, fn);
    };
  },
  // On Linux the title is written over the arguments' own memory.
  hideArguments: () => {
    process.title = "mesh join";
  },
};

process.exitCode = await run(process.argv.slice(2), surroundings);

/** systemd gives a unit 90 s to start; what takes longer has gone wrong. */
async function runCommand(command: string, args: readonly string[]): Promise<CommandOutcome> {
  const { execFile } = await import("node:child_process");
  return await new Promise((resolve) => {
    execFile(command, [...args], { timeout: 90_000, maxBuffer: 1_048_576 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      resolve({ code: typeof code === "number" ? code : undefined, output: stdout + stderr });
    });
  });
}

function outputOf(stream: NodeJS.WriteStream): Output {
  // `mesh peers | head -1` ends the reader early, and that is nobody's error. A full disk is one.
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE" || stream === process.stderr) return;
    process.stderr.write(`mesh: The output could not be written: ${error.code ?? error.message}.\n`, () => process.exit(1));
  });
  return {
    isTerminal: stream.isTTY === true,
    get rows() {
      return stream.isTTY ? stream.rows : undefined;
    },
    write: (text) => void stream.write(text),
  };
}
