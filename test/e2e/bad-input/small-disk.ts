import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "../lab/agent.ts";
import { mustRun, runCommand } from "../lab/run-command.ts";

/** A file system of its own, that can be filled and made read-only. */
export interface SmallDisk {
  readonly directory: string;
  /** To the last block. */
  fill(): Promise<void>;
  free(): Promise<void>;
  readOnly(isReadOnly: boolean): Promise<void>;
}

/** Holds an agent's state and log; a few hundred kilobytes are left. */
const SIZE = "1m";

/** Mounted while `body` runs, and unmounted however it ends. */
export async function withSmallDisk(directory: string, body: (disk: SmallDisk) => Promise<void>): Promise<void> {
  await mkdir(directory, { recursive: true });
  await mustRun("mount", ["-t", "tmpfs", "-o", `size=${SIZE},mode=0700`, "mesh-test", directory]);
  const ballast = join(directory, "ballast");
  try {
    await body({
      directory,
      fill: async () => {
        const { bavail, bsize } = await statfs(directory);
        await writeFile(ballast, new Uint8Array(bavail * bsize));
      },
      free: () => rm(ballast, { force: true }),
      readOnly: async (isReadOnly) => {
        // A process that ends has no command line any more before its files are closed: until then the disk is busy.
        await until("the disk is remounted", async () => {
          const { code, stderr } = await runCommand("mount", ["-o", `remount,${isReadOnly ? "ro" : "rw"}`, directory]);
          return code === 0 || stderr.trim();
        });
      },
    });
  } finally {
    // Lazily: a process that was not killed yet must not keep it.
    await runCommand("umount", ["-l", directory]);
  }
}
