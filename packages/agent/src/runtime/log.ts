import type { LogLevel } from "@mesh/core/config";
import type { Clock } from "@mesh/core/ports";
import { type Logger, pino, stdTimeFunctions } from "pino";
import { LogBursts } from "./log-bursts.ts";
import { LogFile, LogTerminal } from "./log-file.ts";

/*
 * One JSON object a line. What each field means is in docs/observe.md, and a test holds every log call against that list.
 * Keys, invites and packet contents are never logged, so nothing has to be redacted.
 */
interface LogOptions {
  /** Appended to; made 0600; kept to a size, see log-file.ts. Several processes may append at once: one line is one write. */
  readonly file: string;
  readonly level: LogLevel;
  /** Also a line to standard error. */
  readonly foreground: boolean;
  /** Counts bursts of the same message together, see log-bursts.ts. Without it every line is written. */
  readonly clock?: Clock;
}

interface AgentLog {
  readonly log: Logger;
  /** What was logged before is with the kernel already; this closes the file. Later lines go to standard error only. */
  close(): void;
}

/** MeshError "agent/failed" when the file cannot be opened. */
export function openLog(options: LogOptions): AgentLog {
  const file = new LogFile(options.file);
  const terminal = options.foreground ? new LogTerminal() : undefined;
  const destination = {
    write(line: string): void {
      file.write(line);
      terminal?.write(line);
    },
  };
  const bursts = options.clock === undefined ? undefined : new LogBursts(options.clock);
  const log = pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      ...(bursts !== undefined && {
        hooks: {
          logMethod(args, method, level) {
            const message = args.find((argument) => typeof argument === "string");
            const write = (fields?: object): void => method.apply(this, fields === undefined ? args : [fields, message]);
            if (message === undefined) write();
            else bursts.pass(message, level, write);
          },
        },
      }),
    },
    destination,
  );
  return {
    log,
    close: () => {
      bursts?.close();
      file.close();
    },
  };
}
