import { constants } from "node:fs";
import { access, chmod, mkdir, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { STATE_FILES } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import { diskFiles } from "./state-files.ts";
import { writeFailure } from "./write-failure.ts";

/** Behind the name of a state file that could not be read. */
export const ASIDE = ".damaged";

/** Anyone but the owner may write. */
const WRITABLE_BY_OTHERS = 0o022;

/**
 * Makes the directory, 0700, with what is missing above it. One that is there is tightened to 0700; but where
 * others could write, or another user owns it, keys may have been planted or copied: that is refused.
 */
export async function makeStateDirectory(directory: string): Promise<void> {
  try {
    await makeParents(dirname(directory));
    await mkdir(directory, { mode: 0o700 }).catch(unlessExists);
    await checkOwner(directory);
    // Root may write everywhere but on a read-only file system: better said here than by the first file that fails.
    await access(directory, constants.W_OK);
    await diskFiles.syncDirectory(dirname(directory));
  } catch (error) {
    if (error instanceof MeshError) throw error;
    throw unusable(directory, error);
  }
}

/** Level by level: Node 24.21's own recursive mkdir tries for ever under a parent that takes no children, as in /proc. */
async function makeParents(directory: string): Promise<void> {
  const parent = dirname(directory);
  if (parent !== directory && !(await stateDirectoryExists(parent))) await makeParents(parent);
  await mkdir(directory, { mode: 0o755 }).catch(unlessExists);
}

/** Is there anything under this name? */
export async function stateDirectoryExists(directory: string): Promise<boolean> {
  return await access(directory).then(
    () => true,
    () => false,
  );
}

/** Removes keys and membership; the journal of the host and the log stay. */
export async function discardMembership(directory: string): Promise<void> {
  const { host: _, ...membership } = STATE_FILES;
  for (const file of Object.values(membership)) await diskFiles.remove(join(directory, file));
}

/** Removes a state directory that holds no membership, or one that has ended; what was set aside for a person to look at stays. */
export async function discardStateDirectory(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  const discarded = names.filter((name) => !name.includes(ASIDE));
  if (discarded.length === names.length) return await rm(directory, { recursive: true, force: true });
  for (const name of discarded) await rm(join(directory, name), { recursive: true, force: true });
}

async function checkOwner(directory: string): Promise<void> {
  const { uid, mode, isDirectory } = await statOf(directory);
  if (!isDirectory) throw refused(directory, "it is not a directory", "Move it away, or choose another place with --state.");
  if (uid !== process.geteuid?.())
    throw refused(directory, "another user owns it", "Run as that user, or choose another place with --state.");
  if ((mode & WRITABLE_BY_OTHERS) !== 0)
    throw refused(directory, "other users may write to it", `If you trust what is in it: chmod 700 ${directory}`);
  if ((mode & 0o777) !== 0o700) await chmod(directory, 0o700);
}

async function statOf(directory: string): Promise<{ readonly uid: number; readonly mode: number; readonly isDirectory: boolean }> {
  const found = await stat(directory);
  return { uid: found.uid, mode: found.mode, isDirectory: found.isDirectory() };
}

function refused(directory: string, reason: string, hint: string): MeshError {
  return new MeshError("state/unsafe", `The state directory ${directory} cannot be trusted: ${reason}.`, { directory, reason }, { hint });
}

function unusable(directory: string, error: unknown): MeshError {
  const { why, hint = "Run as root." } = writeFailure(error);
  return new MeshError(
    "state/unwritable",
    `The state directory ${directory} cannot be made or used: ${why}.`,
    { file: directory, reason: why },
    { hint: `${hint} Or choose another place with --state.`, cause: error },
  );
}

function unlessExists(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
