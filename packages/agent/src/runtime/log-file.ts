/**
 * The log's file, kept to a size by whoever appends: 10 MiB, and one older file of the same beside it (`agent.log.1`).
 *
 * Several processes may append at once (an agent that ends, one that starts, one that finds it running). Each line is one write
 * in append mode, so none is torn. Before each line its writer looks whether its descriptor is still the file of that name: when
 * another one moved it away, or somebody removed it, it opens the name anew. Who finds the file full takes the lock beside it,
 * looks once more, and moves the file; who finds the lock taken writes on and looks again at its next line.
 */
import { closeSync, constants, fstatSync, openSync, renameSync, statSync, unlinkSync, writeSync } from "node:fs";
import { MeshError } from "@mesh/core/errors";

/** Days of a quiet agent at level info, and hours at debug; both files fit a mail to a maintainer. */
export const MAX_LOG_BYTES = 10_485_760;

/** A lock that is older was left by a process that was killed between its two system calls. */
const LOCK_STALE_AFTER = 10_000;

const STANDARD_ERROR = 2;

/**
 * Written at once, so that a crash loses nothing. A line that cannot be written (full disk, no directory) is lost and counted:
 * the agent goes on. What comes first once it works again says how many were.
 */
export class LogFile {
  readonly #path: string;
  readonly #limit: number;
  #fd: number | undefined;
  #lost = 0;
  #isClosed = false;

  /** MeshError "agent/failed" when the file cannot be opened. */
  constructor(path: string, limit: number = MAX_LOG_BYTES) {
    this.#path = path;
    this.#limit = limit;
    try {
      this.#fd = openToAppend(path);
    } catch (error) {
      throw cannotBeOpened(path, error);
    }
  }

  write(line: string): void {
    if (this.#isClosed) return;
    try {
      const fd = this.#current(Buffer.byteLength(line));
      if (this.#lost > 0) writeSync(fd, lostLine(this.#lost));
      this.#lost = 0;
      writeSync(fd, line);
    } catch {
      this.#lost++;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#release();
  }

  /** The descriptor that a line of `size` bytes goes to. */
  #current(size: number): number {
    const own = this.#fd === undefined ? undefined : fstatSync(this.#fd);
    const named = statSync(this.#path, { throwIfNoEntry: false });
    const isNamed = own !== undefined && own.ino === named?.ino && own.dev === named.dev;
    if (isNamed && own.isFile() && own.size > 0 && own.size + size > this.#limit && this.#moveAway(own.ino)) return this.#reopen();
    return isNamed && this.#fd !== undefined ? this.#fd : this.#reopen();
  }

  /** Whether the file of that inode does not have the name any more, moved by this process or another one. */
  #moveAway(ino: number): boolean {
    const lock = `${this.#path}.lock`;
    if (!takeLock(lock)) return false;
    try {
      if (statSync(this.#path, { throwIfNoEntry: false })?.ino === ino) renameSync(this.#path, `${this.#path}.1`);
      return true;
    } finally {
      unlinkSync(lock);
    }
  }

  #reopen(): number {
    this.#release();
    this.#fd = openToAppend(this.#path);
    return this.#fd;
  }

  #release(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) closeSync(fd);
  }
}

/** Standard error, in the foreground. Its reader may be gone. */
export class LogTerminal {
  write(line: string): void {
    try {
      writeSync(STANDARD_ERROR, line);
    } catch {
      // The file has the line.
    }
  }
}

function openToAppend(path: string): number {
  return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o600);
}

function takeLock(lock: string): boolean {
  try {
    closeSync(openSync(lock, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600));
    return true;
  } catch {
    const found = statSync(lock, { throwIfNoEntry: false });
    // Taken at the next line, when it is gone.
    if (found !== undefined && Math.abs(Date.now() - found.mtimeMs) > LOCK_STALE_AFTER) unlinkSync(lock);
    return false;
  }
}

function lostLine(count: number): string {
  return `{"level":"warn","time":"${new Date().toISOString()}","count":${count},"msg":"log lines were lost"}\n`;
}

function cannotBeOpened(path: string, error: unknown): MeshError {
  const reason = `the log file ${path} cannot be opened: ${(error as NodeJS.ErrnoException).code}`;
  return new MeshError(
    "agent/failed",
    `The log file ${path} cannot be opened.`,
    { reason },
    { hint: "Run as root, or choose another place with --state.", cause: error },
  );
}
