import { join } from "node:path";
import { STATE_FILES } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import type { Store, StoreDocument } from "@mesh/core/ports";
import { frameDocument, MAX_DOCUMENT_BYTES, unframeDocument } from "./document-frame.ts";
import { DocumentWriter, freshPath } from "./document-writer.ts";
import { ASIDE, makeStateDirectory, stateDirectoryExists } from "./state-directory.ts";
import { diskFiles, type StateFiles } from "./state-files.ts";
import { writeFailure } from "./write-failure.ts";

/** What a person can do about a damaged document. */
const REMEDIES: Readonly<Record<StoreDocument, string>> = {
  identity: "Restore it from a backup. Without one, move the directory away and join again with a new invite: this becomes a new node.",
  root: "Restore it from a backup: it is the network's root key and cannot be had from anyone else.",
  node: `Restore it from a backup, or move this one file away and join again with a new invite: ${STATE_FILES.identity} beside it keeps node and number.`,
  records: "Remove it: everything in it is learnt again from the other members.",
  host: "See what an earlier run left on this host (`nft list tables`, `ip route show proto 109`), undo it by hand, and remove the file.",
};

/** Makes the directory where needed, and removes what a write that was killed left in it. MeshError when it is not safe to keep keys in. The directory is this process's alone. */
export async function openStore(directory: string): Promise<Store> {
  await makeStateDirectory(directory);
  for (const file of Object.values(STATE_FILES)) await diskFiles.remove(freshPath(join(directory, file)));
  return new FileStore(directory, diskFiles);
}

export class FileStore implements Store {
  readonly #directory: string;
  readonly #files: StateFiles;
  readonly #writers = new Map<StoreDocument, DocumentWriter>();

  constructor(directory: string, files: StateFiles) {
    this.#directory = directory;
    this.#files = files;
  }

  async read(document: StoreDocument): Promise<Uint8Array | undefined> {
    const path = this.#path(document);
    const bytes = await this.#files.read(path, MAX_DOCUMENT_BYTES).catch((error: unknown) => {
      throw unreadable(path, error);
    });
    if (bytes === undefined) return undefined;
    const unframed = unframeDocument(document, bytes);
    if (unframed.ok) return unframed.payload;
    throw damaged(document, this.#directory, unframed.reason);
  }

  async write(document: StoreDocument, bytes: Uint8Array): Promise<void> {
    const path = this.#path(document);
    const writer = this.#writers.get(document) ?? new DocumentWriter(path, this.#files);
    this.#writers.set(document, writer);
    await writer.write(frameDocument(document, bytes)).catch((error: unknown) => {
      throw unwritable(path, error);
    });
  }

  async setAside(document: StoreDocument): Promise<string> {
    const path = this.#path(document);
    let aside = `${path}${ASIDE}`;
    for (let n = 2; await stateDirectoryExists(aside); n++) aside = `${path}${ASIDE}-${n}`;
    try {
      await this.#files.rename(path, aside);
      await this.#files.syncDirectory(this.#directory);
    } catch (error) {
      throw unwritable(path, error);
    }
    return aside;
  }

  #path(document: StoreDocument): string {
    return pathOf(document, this.#directory);
  }
}

/** `reason` completes "The state file …". */
export function damaged(document: StoreDocument, directory: string, reason: string): MeshError {
  const file = pathOf(document, directory);
  return new MeshError("state/damaged", `The state file ${file} ${reason}.`, { file, reason }, { hint: REMEDIES[document] });
}

function pathOf(document: StoreDocument, directory: string): string {
  return join(directory, STATE_FILES[document]);
}

function unreadable(path: string, error: unknown): MeshError {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  const reason = code === "EFBIG" ? "is larger than any state file" : `cannot be read (${code})`;
  const hint = "Look at it with `ls -l`: it belongs to the user that runs the agent, mode 0600.";
  return new MeshError("state/damaged", `The state file ${path} ${reason}.`, { file: path, reason }, { hint, cause: error });
}

function unwritable(path: string, error: unknown): MeshError {
  const { why, hint = "See `dmesg` and the agent's log." } = writeFailure(error);
  return new MeshError(
    "state/unwritable",
    `The state file ${path} cannot be written: ${why}.`,
    { file: path, reason: why },
    { hint: `${hint} Nothing half-written is left: the last complete content is still there.`, cause: error },
  );
}
