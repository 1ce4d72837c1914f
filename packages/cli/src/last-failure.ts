import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Bytes looked at of the log's end: an agent that fails says so, and then undoes what it did. */
const MAX_BYTES = 65_536;

/** Why the agent that wrote this log last has ended, when it failed; undefined when it was told to end, was killed, or runs. */
export function lastFailure(log: string): string | undefined {
  for (const line of endOf(log).split("\n").toReversed()) {
    const { level, msg, err } = parse(line);
    if (level === "fatal" && msg === "stopping after an error") return err?.message;
    if (msg === "serving" || msg === "stopping") return undefined;
  }
  return undefined;
}

interface LogLine {
  readonly level?: string;
  readonly msg?: string;
  readonly err?: { readonly message?: string };
}

function parse(line: string): LogLine {
  try {
    return (JSON.parse(line) as LogLine | null) ?? {};
  } catch {
    return {};
  }
}

/** Nothing when it cannot be read: this is beside the point of what somebody wanted to know. */
function endOf(path: string): string {
  try {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      const bytes = Buffer.alloc(Math.min(size, MAX_BYTES));
      const read = readSync(file, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString("utf8", 0, read);
    } finally {
      closeSync(file);
    }
  } catch {
    return "";
  }
}
