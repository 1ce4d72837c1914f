import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MeshError } from "@mesh/core/errors";
import type { NewFile, StateFiles } from "./state-files.ts";
import { FileStore } from "./store.ts";

interface DiskFile {
  bytes: Uint8Array;
  /** What a loss of power leaves of it. */
  durable: Uint8Array;
}

/**
 * A disk that keeps of a crash what POSIX promises and no more: a file's bytes after its fsync, a directory's names after
 * the directory's. Every operation is a step; at step `endAt` everything stops, or that one step fails with `error`.
 */
class Disk implements StateFiles {
  endAt: number = Number.POSITIVE_INFINITY;
  error: Error | undefined;
  readonly steps: string[] = [];
  readonly #names: Map<string, DiskFile>;
  #durableNames: Map<string, DiskFile>;

  constructor(names: ReadonlyMap<string, DiskFile> = new Map()) {
    this.#names = new Map(names);
    this.#durableNames = new Map(names);
  }

  has(path: string): boolean {
    return this.#names.has(path);
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    return this.#names.get(path)?.bytes;
  }

  async remove(path: string): Promise<void> {
    await this.#step("remove");
    this.#names.delete(path);
  }

  async create(path: string): Promise<NewFile> {
    await this.#step("create");
    assert.ok(!this.#names.has(path), "EEXIST");
    const file: DiskFile = { bytes: new Uint8Array(0), durable: new Uint8Array(0) };
    this.#names.set(path, file);
    return {
      write: async (bytes) => {
        file.bytes = bytes.slice(0, bytes.length >> 1);
        await this.#step("write");
        file.bytes = bytes;
      },
      sync: async () => {
        await this.#step("sync file");
        file.durable = file.bytes;
      },
      close: () => this.#step("close"),
    };
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#step("rename");
    const file = this.#names.get(from);
    assert.ok(file);
    this.#names.delete(from);
    this.#names.set(to, file);
  }

  async syncDirectory(): Promise<void> {
    await this.#step("sync directory");
    this.#durableNames = new Map(this.#names);
  }

  /** The disk after a new start. Of what was not synced, the names, the bytes, both or neither came through. */
  restarted(kept: { readonly names: boolean; readonly bytes: boolean }): Disk {
    const names = [...(kept.names ? this.#names : this.#durableNames)];
    return new Disk(
      new Map(
        names.map(([path, file]) => {
          const bytes = kept.bytes ? file.bytes : file.durable;
          return [path, { bytes, durable: bytes }];
        }),
      ),
    );
  }

  #step(what: string): Promise<void> {
    this.steps.push(what);
    if (this.steps.length < this.endAt) return Promise.resolve();
    if (this.error === undefined) return new Promise(() => {});
    return this.steps.length === this.endAt ? Promise.reject(this.error) : Promise.resolve();
  }
}

const OLD = Uint8Array.of(1, 2, 3);
const NEW = Uint8Array.from({ length: 500 }, (_, i) => i);
const NEWEST = Uint8Array.of(9, 9);
const WRITE_STEPS = ["remove", "create", "write", "sync file", "close", "rename", "sync directory"];
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Ends the world at the step, or makes it fail, in a write of NEW over OLD. */
async function interruptedWrite(step: number, error?: Error): Promise<{ disk: Disk; outcome: unknown }> {
  const disk = new Disk();
  await new FileStore("/s", disk).write("node", OLD);
  disk.steps.length = 0;
  disk.endAt = step;
  disk.error = error;
  let outcome: unknown = "pending";
  new FileStore("/s", disk).write("node", NEW).then(
    () => {
      outcome = "durable";
    },
    (failure: unknown) => {
      outcome = failure;
    },
  );
  await settled();
  return { disk, outcome };
}

describe("a write of a state document", () => {
  test("takes these steps", async () => {
    const { disk, outcome } = await interruptedWrite(Number.POSITIVE_INFINITY);
    assert.deepEqual(disk.steps, WRITE_STEPS);
    assert.equal(outcome, "durable");
  });

  for (const names of [false, true])
    for (const bytes of [false, true])
      test(`that is cut off leaves the old or the new document whole (unsynced names ${names ? "kept" : "lost"}, bytes ${bytes ? "kept" : "lost"})`, async () => {
        for (const [i, step] of WRITE_STEPS.entries()) {
          const { disk, outcome } = await interruptedWrite(i + 1);
          assert.equal(outcome, "pending", step);
          const store = new FileStore("/s", disk.restarted({ names, bytes }));
          const found = await store.read("node");
          const expected = step === "sync directory" && names ? NEW : OLD;
          assert.deepEqual(found, expected, `ended at ${step}`);
          await store.write("node", NEWEST);
          assert.deepEqual(await store.read("node"), NEWEST, `a leftover of ${step} does not stop the next write`);
        }
      });

  test("that has resolved survives any loss of power", async () => {
    const disk = new Disk();
    await new FileStore("/s", disk).write("node", NEW);
    assert.deepEqual(await new FileStore("/s", disk.restarted({ names: false, bytes: false })).read("node"), NEW);
  });

  for (const [i, step] of WRITE_STEPS.entries())
    test(`that fails at ${step} rejects, leaves no half file and lets the next one through`, async () => {
      const { disk, outcome } = await interruptedWrite(i + 1, Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" }));
      assert.ok(outcome instanceof MeshError && outcome.code === "state/unwritable", String(outcome));
      assert.match(outcome.message, /\/s\/node\.state cannot be written: the disk is full\./);
      assert.equal(disk.has("/s/node.state.new"), false);
      const store = new FileStore("/s", disk);
      assert.deepEqual(await store.read("node"), step === "sync directory" ? NEW : OLD);
      await store.write("node", NEWEST);
      assert.deepEqual(await store.read("node"), NEWEST);
    });
});

describe("a disk that refuses", () => {
  const troubles: Readonly<Record<string, RegExp>> = {
    ENOSPC: /the disk is full/,
    EDQUOT: /quota is used up/,
    EROFS: /file system is read-only/,
    EIO: /the disk reports an error/,
    EACCES: /permission is denied/,
    ENOENT: /its directory is gone/,
    EUCLEAN: /EUCLEAN/,
  };
  for (const [code, said] of Object.entries(troubles))
    test(`${code} is said in words, with the file and what to do, at whatever step it comes; the document that was there stays`, async () => {
      for (const [i, step] of WRITE_STEPS.entries()) {
        const { disk, outcome } = await interruptedWrite(i + 1, Object.assign(new Error(code), { code }));
        assert.ok(outcome instanceof MeshError && outcome.code === "state/unwritable", `${step}: ${String(outcome)}`);
        assert.match(outcome.message, said);
        assert.match(outcome.message, /\/s\/node\.state/);
        assert.match(outcome.hint ?? "", /\. Nothing half-written is left/);
        const found = await new FileStore("/s", disk.restarted({ names: false, bytes: false })).read("node");
        assert.deepEqual(found, OLD, step);
      }
    });
});

describe("writes of one document at the same time", () => {
  test("are one after the other; of those that wait only the newest is done, and all of them are told", async () => {
    const disk = new Disk();
    const store = new FileStore("/s", disk);
    const order: string[] = [];
    const mutable = Uint8Array.of(1);
    const writes = [mutable, Uint8Array.of(2), Uint8Array.of(3), Uint8Array.of(4)].map(async (bytes, i) => {
      await store.write("node", bytes);
      order.push(`${i + 1} sees ${(await store.read("node"))?.[0]}`);
    });
    mutable[0] = 99;
    const identity = store.write("identity", OLD);
    await Promise.all([...writes, identity]);
    assert.equal(disk.steps.filter((step) => step === "rename").length, 3, "first, newest, and the other document");
    assert.deepEqual(order.slice(1), ["2 sees 4", "3 sees 4", "4 sees 4"]);
    assert.match(order[0] ?? "", /^1 sees [14]$/);
    assert.deepEqual(await store.read("identity"), OLD);
  });

  test("a newer write does not make an older one seem durable before it is", async () => {
    const disk = new Disk();
    const store = new FileStore("/s", disk);
    const first = store.write("node", OLD);
    let isDurable = false;
    const second = store.write("node", NEW).then(() => {
      isDurable = true;
    });
    await first;
    assert.equal(isDurable, false);
    disk.endAt = disk.steps.length + 1;
    await settled();
    assert.equal(isDurable, false);
    void second;
  });

  test("20 documents' worth of random writes, seed 7: what was resolved last is what is read", async () => {
    const disk = new Disk();
    const store = new FileStore("/s", disk);
    let state = 7;
    let newest = 0;
    const pending: Promise<void>[] = [];
    for (let i = 1; i <= 200; i++) {
      newest = i;
      pending.push(
        store.write("records", Uint8Array.of(i)).then(async () => {
          const found = (await store.read("records"))?.[0] ?? 0;
          assert.ok(found >= i, `write ${i} resolved while ${found} is on disk`);
        }),
      );
      state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
      if (state % 3 === 0) await settled();
    }
    await Promise.all(pending);
    assert.deepEqual(await store.read("records"), Uint8Array.of(newest));
  });
});
