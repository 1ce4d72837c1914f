import { closeSync, constants, fstatSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Bytes looked at for the reason of a death: a stack trace has 2,000. */
const MAX_BYTES = 8_192;

/** What a process says on standard error before it dies. */
interface LastWords {
  /** Open for appending; give it to the process as its standard error. */
  readonly descriptor: number;
  /** `: Error: …` with the sentence that names the reason, or nothing when there is none. */
  read(): string;
  close(): void;
}

/** Takes the network's log when it is known and exists, otherwise a file that has no name and so goes with its last user. */
export function openLastWords(log: string | undefined): LastWords {
  const descriptor = (log === undefined ? undefined : openLog(log)) ?? openNameless();
  const start = fstatSync(descriptor).size;
  return {
    descriptor,
    read: () => {
      const buffer = Buffer.alloc(MAX_BYTES);
      const size = readSync(descriptor, buffer, 0, MAX_BYTES, start);
      const reason = reasonIn(buffer.toString("utf8", 0, size));
      return reason === undefined ? "" : `: ${reason}`;
    },
    close: () => closeSync(descriptor),
  };
}

function openLog(log: string): number | undefined {
  try {
    return openSync(log, constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW);
  } catch {
    return undefined;
  }
}

/** Without a place for files the words are lost, which is no reason not to start. */
function openNameless(): number {
  try {
    const directory = mkdtempSync(join(tmpdir(), "mesh-"));
    try {
      return openSync(join(directory, "stderr"), "ax+", 0o600);
    } finally {
      rmSync(directory, { recursive: true });
    }
  } catch {
    return openSync("/dev/null", "r+");
  }
}

/** The runtime prints source line, error, stack and version; the agent's own log lines, which are JSON, may stand between. */
function reasonIn(text: string): string | undefined {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("{"));
  return (lines.find((line) => /^(\w*Error\b|FATAL ERROR)/.test(line)) ?? lines.at(-1))?.slice(0, 300).replace(/\.$/, "");
}
