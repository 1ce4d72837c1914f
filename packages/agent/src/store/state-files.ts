import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";

/**
 * What replacing a file takes, one operation each, so that a test can end the world between any two of them.
 * Errors are Node's, with `code`.
 */
export interface StateFiles {
  /** undefined: there is none. Rejects with code EFBIG when it is larger than `maxBytes`. */
  read(path: string, maxBytes: number): Promise<Uint8Array | undefined>;
  /** No error when there is none. */
  remove(path: string): Promise<void>;
  /** Makes a file that must not exist yet (O_EXCL), 0600. */
  create(path: string): Promise<NewFile>;
  /** Replaces `to`. */
  rename(from: string, to: string): Promise<void>;
  /** The names in the directory survive a loss of power from now on. */
  syncDirectory(path: string): Promise<void>;
}

export interface NewFile {
  write(bytes: Uint8Array): Promise<void>;
  /** The bytes survive a loss of power from now on. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export const diskFiles: StateFiles = {
  async read(path, maxBytes) {
    const file = await openExisting(path);
    if (file === undefined) return undefined;
    try {
      if ((await file.stat()).size > maxBytes) throw Object.assign(new Error("the file is too large"), { code: "EFBIG" });
      return await file.readFile();
    } finally {
      await file.close();
    }
  },
  async remove(path) {
    await rm(path, { force: true });
  },
  async create(path) {
    const file = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
    return { write: (bytes) => file.writeFile(bytes), sync: () => file.sync(), close: () => file.close() };
  },
  rename,
  async syncDirectory(path) {
    const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await directory.sync();
    } catch (error) {
      // Some network and FUSE file systems cannot; there is nothing better to be had on them.
      if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
    } finally {
      await directory.close();
    }
  },
};

async function openExisting(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
