import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { type ErrorCode, MeshError } from "@mesh/core/errors";
import type { StoreDocument } from "@mesh/core/ports";
import { openStore } from "./store.ts";

const root = mkdtempSync(join(tmpdir(), "mesh-store-"));
after(() => rmSync(root, { recursive: true }));
let made = 0;
const freshDirectory = (): string => join(root, `state-${made++}`);

function isMeshError(code: ErrorCode, message: RegExp, hint: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof MeshError && error.code === code, String(error));
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
    return true;
  };
}

const FILES: Readonly<Record<StoreDocument, string>> = {
  identity: "identity.key",
  root: "root.key",
  node: "node.state",
  records: "records.state",
  host: "host.state",
};
const DOCUMENTS = Object.keys(FILES) as readonly StoreDocument[];

describe("openStore", () => {
  test("makes a 0700 directory with 0600 files; what was never written is undefined", async () => {
    const directory = join(freshDirectory(), "home");
    const store = await openStore(directory);
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    for (const [i, document] of DOCUMENTS.entries()) {
      assert.equal(await store.read(document), undefined);
      await store.write(document, Uint8Array.of(i));
      assert.equal(statSync(join(directory, FILES[document])).mode & 0o777, 0o600);
    }
    const again = await openStore(directory);
    for (const [i, document] of DOCUMENTS.entries()) assert.deepEqual(await again.read(document), Uint8Array.of(i));
  });

  test("a leftover of a crash does not stop a write", async () => {
    const directory = freshDirectory();
    const store = await openStore(directory);
    writeFileSync(join(directory, "node.state.new"), "half", { mode: 0o666 });
    await store.write("node", Uint8Array.of(1));
    assert.deepEqual(await store.read("node"), Uint8Array.of(1));
  });

  test("tightens a directory of ours that others may read", async () => {
    const directory = freshDirectory();
    mkdirSync(directory, { mode: 0o755 });
    await openStore(directory);
    assert.equal(statSync(directory).mode & 0o777, 0o700);
  });

  for (const mode of [0o777, 0o720])
    test(`refuses a directory that others may write to (${mode.toString(8)})`, async () => {
      const directory = freshDirectory();
      mkdirSync(directory);
      chmodSync(directory, mode);
      await assert.rejects(openStore(directory), isMeshError("state/unsafe", /other users may write/, /chmod 700/));
    });

  test("refuses a directory of another user", { skip: process.geteuid?.() !== 0 && "needs root to give a directory away" }, async () => {
    const directory = freshDirectory();
    mkdirSync(directory, { mode: 0o700 });
    chownSync(directory, 65_534, 65_534);
    await assert.rejects(openStore(directory), isMeshError("state/unsafe", /another user owns it/, /--state/));
  });

  test("refuses a file in its place", async () => {
    const directory = freshDirectory();
    writeFileSync(directory, "");
    await assert.rejects(openStore(directory), isMeshError("state/unsafe", /not a directory/, /--state/));
    await assert.rejects(openStore(join(directory, "below")), isMeshError("state/unwritable", /ENOTDIR|EEXIST/, /--state/));
  });
});

test("a state directory that is removed while it is used is said at the next write, and none is made in its place", async () => {
  const directory = freshDirectory();
  const store = await openStore(directory);
  await store.write("node", Uint8Array.of(1));
  rmSync(directory, { recursive: true });
  const isGone = isMeshError(
    "state/unwritable",
    /node\.state cannot be written: its directory is gone/,
    /restore the directory from a backup/,
  );
  await assert.rejects(store.write("node", Uint8Array.of(2)), isGone);
  await assert.rejects(store.write("node", Uint8Array.of(2)), isGone);
  assert.equal(existsSync(directory), false);
  assert.equal(await store.read("node"), undefined);
});

describe("a damaged document", () => {
  const remedies: Readonly<Record<StoreDocument, RegExp>> = {
    identity: /backup.*join again with a new invite/,
    root: /backup/,
    node: /backup.*join again with a new invite.*keeps node and number/,
    records: /Remove it.*other members/,
    host: /undo it by hand, and remove the file/,
  };
  for (const document of DOCUMENTS)
    test(`${document}: named with its file and with what to do`, async () => {
      const directory = freshDirectory();
      const store = await openStore(directory);
      await store.write(document, new Uint8Array(100));
      const file = join(directory, FILES[document]);
      truncateSync(file, 60);
      const escaped = file.replaceAll(".", "\\.");
      await assert.rejects(store.read(document), isMeshError("state/damaged", new RegExp(`${escaped} is cut short`), remedies[document]));
      await store.write(document, Uint8Array.of(1));
      assert.deepEqual(await store.read(document), Uint8Array.of(1), "writing again repairs it");
    });

  test("one document in another's place, a link, and an endless file are refused", async () => {
    const directory = freshDirectory();
    const store = await openStore(directory);
    await store.write("identity", new Uint8Array(32));
    writeFileSync(join(directory, "root.key"), readFileSync(join(directory, "identity.key")));
    await assert.rejects(store.read("root"), isMeshError("state/damaged", /does not hold the document "root"/, /backup/));
    symlinkSync("identity.key", join(directory, "node.state"));
    await assert.rejects(store.read("node"), isMeshError("state/damaged", /ELOOP/, /ls -l/));
    writeFileSync(join(directory, "records.state"), "");
    truncateSync(join(directory, "records.state"), 300 * 1024 * 1024);
    await assert.rejects(store.read("records"), isMeshError("state/damaged", /larger than any/, /ls -l/));
  });
});

describe("a process that is killed while it writes", () => {
  const SCRIPT = `
    import { openStore } from ${JSON.stringify(new URL("./store.ts", import.meta.url).href)};
    const store = await openStore(process.argv[1]);
    for (let i = 1; ; i++) {
      const bytes = new Uint8Array(200_000).fill(i);
      new DataView(bytes.buffer).setUint32(0, i);
      await store.write("node", bytes);
      process.stdout.write(i + "\\n");
    }`;

  test("loses nothing that it was told is durable", async () => {
    for (const killAfter of [3, 8, 13, 21]) {
      const directory = freshDirectory();
      const child = spawn(process.execPath, ["--input-type=module", "--eval", SCRIPT, directory], { stdio: ["ignore", "pipe", "inherit"] });
      const told = await writesUntilKilled(child, killAfter);
      const bytes = await (await openStore(directory)).read("node");
      assert.ok(bytes !== undefined);
      const found = new DataView(bytes.buffer).getUint32(0);
      assert.ok(found === told || found === told + 1, `told ${told}, found ${found}`);
      assert.ok(bytes.subarray(4).every((byte) => byte === (found & 0xff)));
    }
  });

  async function writesUntilKilled(child: ChildProcess, killAfter: number): Promise<number> {
    let text = "";
    for await (const chunk of child.stdout ?? []) {
      text += String(chunk);
      if (text.split("\n").length > killAfter) child.kill("SIGKILL");
    }
    return Number(text.trim().split("\n").at(-1));
  }
});
