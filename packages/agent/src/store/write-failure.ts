export interface WriteFailure {
  /** Completes "… cannot be written: ". The error's code where there is no better word for it. */
  readonly why: string;
  readonly hint?: string;
}

const FAILURES: Readonly<Record<string, WriteFailure>> = {
  ENOSPC: { why: "the disk is full", hint: "Make room there." },
  EDQUOT: { why: "the disk quota is used up", hint: "Make room there." },
  EROFS: {
    why: "the file system is read-only",
    hint: "Mount it writable; a read-only remount often means a failing disk: see `dmesg`.",
  },
  EIO: { why: "the disk reports an error", hint: "See `dmesg`." },
  EACCES: { why: "permission is denied", hint: "The directory must belong to the user that runs the agent, mode 0700." },
  EPERM: { why: "permission is denied", hint: "The directory must belong to the user that runs the agent, mode 0700." },
  ENOENT: { why: "its directory is gone", hint: "Stop the agent and restore the directory from a backup." },
};

/** Why Node could not write a file, for people. */
export function writeFailure(error: unknown): WriteFailure {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  return FAILURES[code] ?? { why: code };
}
