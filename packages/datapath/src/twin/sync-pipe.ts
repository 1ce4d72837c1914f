import { spawnSync } from "node:child_process";
import { constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SyncPipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/**
 * A pipe whose ends are plain descriptors: one for a child, the other to be read without an event loop. Node makes none,
 * so it is a named pipe that loses its name at once. undefined when there is no perl to make it; throws what the file
 * system says.
 */
export function openSyncPipe(perl: string): SyncPipe | undefined {
  const folder = mkdtempSync(join(tmpdir(), "mesh-"));
  try {
    const path = join(folder, "pipe");
    const made = spawnSync(perl, ["-MPOSIX", "-e", "POSIX::mkfifo($ARGV[0], 0600) or exit 1", path], { stdio: "ignore" });
    if (made.status !== 0) return undefined;
    // Open for both, it waits for nobody (fifo(7)); then reading does not either.
    const writeEnd = openSync(path, constants.O_RDWR);
    return { readEnd: openSync(path, constants.O_RDONLY), writeEnd };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
