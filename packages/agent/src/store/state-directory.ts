import { access, chmod, mkdir, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { MeshError } from "@mesh/core/errors";
import { diskFiles } from "./state-files.ts";

/** Anyone but the owner may write. */
const WRITABLE_BY_OTHERS = 0o022;

/**
 * Makes the directory, 0700, with what is missing above it. One that is there is tightened to 0700; but where
 * others could write, or another user owns it, keys may have been planted or copied: that is refused.
 */
export async function makeStateDirectory(directory: string): Promise<void> {
  try {
    await mkdir(dirname(directory), { recursive: true, mode: 0o755 });
    await mkdir(directory, { mode: 0o700 }).catch(unlessExists);
    await checkOwner(directory);
    await diskFiles.syncDirectory(dirname(directory));
  } catch (error) {
    if (error instanceof MeshError) throw error;
    throw unusable(directory, error);
  }
}

/** Is there anything under this name? */
export async function stateDirectoryExists(directory: string): Promise<boolean> {
  return await access(directory).then(
    () => true,
    () => false,
  );
}

/** Removes a state directory that this process made and that holds no membership. */
export async function discardStateDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
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
  const reason = (error as NodeJS.ErrnoException).code ?? String(error);
  return new MeshError(
    "state/unwritable",
    `The state directory ${directory} cannot be made or used: ${reason}.`,
    { file: directory, reason },
    { hint: "Run as root, or choose another place with --state.", cause: error },
  );
}

function unlessExists(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
