import { closeSync, constants, openSync, writeSync } from "node:fs";
import type { LogLevel } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import { type Logger, pino, stdTimeFunctions } from "pino";

/*
 * One JSON object a line. Fields mean the same everywhere:
 *
 *   level time msg          trace to fatal; ISO 8601 in UTC; a sentence without variable parts
 *   err                     an error: type, message, stack, and of a MeshError code, details and hint
 *   part component          the part of the agent that speaks: control, data, host, api; of control, libp2p's component
 *   node name network       a node's id, whole; a node's or network's name; a network's id
 *   slot                    the peer's number in the engine
 *   endpoint prefix device  as `mesh status` prints them
 *   reason fault            why, for a person; why bytes were refused, by its counter's name
 *   ms count bytes          a duration; a number of things; a size
 *
 * Keys, invites and packet contents are never logged, so nothing has to be redacted.
 */
interface LogOptions {
  /** Appended to; made 0600. Several processes may append at once: one line is one write. */
  readonly file: string;
  readonly level: LogLevel;
  /** Also a line to standard error. */
  readonly foreground: boolean;
}

interface AgentLog {
  readonly log: Logger;
  /** What was logged before is with the kernel already; this closes the file. Later lines go to standard error only. */
  close(): void;
}

/** MeshError "agent/failed" when the file cannot be opened. */
export function openLog(options: LogOptions): AgentLog {
  const file = new LineFile(openToAppend(options.file));
  const terminal = options.foreground ? new LineFile(2) : undefined;
  const destination = {
    write(line: string): void {
      file.write(line);
      terminal?.write(line);
    },
  };
  const log = pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    destination,
  );
  return { log, close: () => file.close() };
}

function openToAppend(path: string): number {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o600);
  } catch (error) {
    const reason = `the log file ${path} cannot be opened: ${(error as NodeJS.ErrnoException).code}`;
    throw new MeshError(
      "agent/failed",
      `The log file ${path} cannot be opened.`,
      { reason },
      { hint: "Run as root, or choose another place with --state.", cause: error },
    );
  }
}

/**
 * Written at once, so that a crash loses nothing. A line that cannot be written (full disk, reader gone) is lost and
 * counted: the agent goes on. What comes first once it works again says how many were.
 */
class LineFile {
  #fd: number | undefined;
  #lost = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: string): void {
    if (this.#fd === undefined) return;
    try {
      if (this.#lost > 0) writeSync(this.#fd, `{"level":"warn","msg":"log lines were lost","count":${this.#lost}}\n`);
      this.#lost = 0;
      writeSync(this.#fd, line);
    } catch {
      this.#lost++;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
