import { endOfFile } from "./file-end.ts";

/** Bytes looked at of the log's end: an agent that fails says so, and then undoes what it did. */
const MAX_BYTES = 65_536;

/** Why the agent that wrote this log last has ended, when it failed; undefined when it was told to end, was killed, or runs. */
export async function lastFailure(log: string): Promise<string | undefined> {
  for (const line of (await endOfFile(log, MAX_BYTES)).split("\n").toReversed()) {
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
