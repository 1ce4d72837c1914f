import { STATE_FILES } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import type { Logger } from "pino";
import { changeKey, type HostChange, parseHostChange } from "./host-change.ts";
import type { HostPlace } from "./host-place.ts";

/**
 * The journal is UTF-8 JSON: `{ "version": 2, "entries": [{ "boot", "netns", "change": {…} }] }`, oldest first. An entry is
 * written before its change is made and removed after it was undone, so that whatever happens in between, whoever reads
 * it next knows at least what was done.
 */
const VERSION = 2;

/** The store's document "host", whole. */
export interface JournalFile {
  read(): Promise<Uint8Array | undefined>;
  /** Resolves when the bytes survive a loss of power. */
  write(bytes: Uint8Array): Promise<void>;
  /** Moves what cannot be read out of the way of the next write; says where to. */
  setAside(): Promise<string>;
}

export interface JournalEntry extends HostPlace {
  readonly change: HostChange;
}

export class UndoJournal {
  readonly #file: JournalFile;
  readonly #log: Logger;
  #entries: readonly JournalEntry[] | undefined;
  #damage: MeshError | undefined;
  #isAside = false;

  constructor(file: JournalFile, log: Logger) {
    this.#file = file;
    this.#log = log;
  }

  /** What was changed and not undone yet. MeshError "state/damaged" as long as an unreadable journal lies there. */
  async entries(): Promise<readonly JournalEntry[]> {
    const entries = await this.#load();
    if (this.#damage !== undefined) throw this.#damage;
    return entries;
  }

  async has(change: HostChange, place: HostPlace): Promise<boolean> {
    const wanted = entryKey({ ...place, change });
    return (await this.#load()).some((entry) => entryKey(entry) === wanted);
  }

  /** Resolves when they are durable: only then may they be made. Nothing is written when all of them stand there. */
  async add(changes: readonly HostChange[], place: HostPlace): Promise<void> {
    const entries = new Map((await this.#load()).map((entry) => [entryKey(entry), entry]));
    const known = JSON.stringify([...entries.values()]);
    for (const change of changes) {
      const entry = { ...place, change };
      const key = entryKey(entry);
      entries.set(key, merged(entries.get(key), entry));
    }
    const next = [...entries.values()];
    if (JSON.stringify(next) !== known) await this.#write(next);
  }

  /** They were undone, or cannot exist any more. */
  async remove(gone: readonly JournalEntry[]): Promise<void> {
    const keys = new Set(gone.map(entryKey));
    const entries = await this.#load();
    const rest = entries.filter((entry) => !keys.has(entryKey(entry)));
    if (rest.length < entries.length) await this.#write(rest);
  }

  async #load(): Promise<readonly JournalEntry[]> {
    this.#entries ??= await this.#read();
    return this.#entries;
  }

  async #read(): Promise<readonly JournalEntry[]> {
    try {
      const bytes = await this.#file.read();
      return bytes === undefined ? [] : decodeJournal(bytes);
    } catch (error) {
      if (!(error instanceof MeshError) || error.code !== "state/damaged") throw error;
      this.#damage = error;
      this.#log.error({ err: error }, "what an earlier run changed on this host cannot be read; it is not undone by itself");
      return [];
    }
  }

  async #write(entries: readonly JournalEntry[]): Promise<void> {
    // What it says is still to be undone, by a person.
    if (this.#damage !== undefined && !this.#isAside) {
      this.#log.warn({ file: await this.#file.setAside() }, "the unreadable journal is kept");
      this.#isAside = true;
    }
    await this.#file.write(encodeJournal(entries));
    this.#entries = entries;
    this.#damage = undefined;
  }
}

export function encodeJournal(entries: readonly JournalEntry[]): Uint8Array {
  return Buffer.from(JSON.stringify({ version: VERSION, entries }));
}

/** MeshError "state/damaged" when it was not written by this version. */
export function decodeJournal(bytes: Uint8Array): readonly JournalEntry[] {
  const text = Buffer.from(bytes).toString("utf8");
  const { version, entries } = parseObject(text);
  if (version !== VERSION) throw unreadable(`has version ${JSON.stringify(version)}, this program knows ${VERSION}`);
  if (!Array.isArray(entries)) throw unreadable("has no list of entries");
  return entries.map((entry: unknown, i) => parseEntry(entry) ?? unknownEntry(i));
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? (parsed as Readonly<Record<string, unknown>>) : {};
  } catch {
    throw unreadable("is not JSON");
  }
}

function parseEntry(entry: unknown): JournalEntry | undefined {
  if (typeof entry !== "object" || entry === null) return undefined;
  const { boot, netns, change } = entry as Readonly<Record<string, unknown>>;
  const parsed = parseHostChange(change);
  return typeof boot === "string" && typeof netns === "string" && parsed !== undefined ? { boot, netns, change: parsed } : undefined;
}

function unknownEntry(index: number): never {
  throw unreadable(`has an entry that this program does not know (number ${index + 1})`);
}

/** `reason` completes "The journal …". */
function unreadable(reason: string): MeshError {
  const file = STATE_FILES.host;
  const hint = `Use the version that wrote it, or undo by hand what it names (docs/host.md shows how to look) and remove ${file}.`;
  return new MeshError("state/damaged", `The journal of changes to this host ${reason}.`, { file, reason }, { hint });
}

function entryKey({ boot, netns, change }: JournalEntry): string {
  return `${boot} ${netns} ${changeKey(change)}`;
}

/** How it was before us is what the first of two changes found. */
function merged(first: JournalEntry | undefined, latest: JournalEntry): JournalEntry {
  if (first?.change.kind !== "sysctl" || latest.change.kind !== "sysctl") return latest;
  return { ...latest, change: { ...latest.change, before: first.change.before } };
}
