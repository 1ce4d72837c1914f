import { dirname } from "node:path";
import type { NewFile, StateFiles } from "./state-files.ts";

/**
 * Writes one file, whole, one write at a time:
 *  1. a leftover `.new` of a crash is removed, and a fresh one made, written and fsynced;
 *  2. it is renamed over the file: from here on readers see the new bytes;
 *  3. the directory is fsynced: from here on they survive a loss of power, and the callers are told.
 * A write that has not begun is replaced by a newer one, and its caller is told when the newer one is durable.
 */
export class DocumentWriter {
  readonly #path: string;
  readonly #files: StateFiles;
  #next: PendingWrite | undefined;
  #isWriting = false;

  constructor(path: string, files: StateFiles) {
    this.#path = path;
    this.#files = files;
  }

  /** Resolves when these bytes, or newer ones, are durable. Rejects with Node's error; the old file is then still there. */
  write(bytes: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const callers = [...(this.#next?.callers ?? []), { resolve, reject }];
    this.#next = { bytes, callers };
    if (!this.#isWriting) void this.#drain();
    return promise;
  }

  async #drain(): Promise<void> {
    this.#isWriting = true;
    for (let write = this.#next; write !== undefined; write = this.#next) {
      this.#next = undefined;
      try {
        await this.#replace(write.bytes);
        for (const caller of write.callers) caller.resolve();
      } catch (error) {
        for (const caller of write.callers) caller.reject(error);
      }
    }
    this.#isWriting = false;
  }

  async #replace(bytes: Uint8Array): Promise<void> {
    const fresh = freshPath(this.#path);
    await this.#files.remove(fresh);
    try {
      await fill(await this.#files.create(fresh), bytes);
      await this.#files.rename(fresh, this.#path);
    } catch (error) {
      // It may be what fills the disk. When even this fails, the next write removes it.
      await this.#files.remove(fresh).catch(() => {});
      throw error;
    }
    await this.#files.syncDirectory(dirname(this.#path));
  }
}

/** Where the bytes are until they replace the file. */
export function freshPath(path: string): string {
  return `${path}.new`;
}

interface PendingWrite {
  readonly bytes: Uint8Array;
  readonly callers: readonly Caller[];
}

interface Caller {
  resolve(): void;
  reject(error: unknown): void;
}

async function fill(file: NewFile, bytes: Uint8Array): Promise<void> {
  try {
    await file.write(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}
