import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MeshError } from "@mesh/core/errors";
import { pino } from "pino";
import { changeKey, type HostChange, parseHostChange, undoByHand } from "./host-change.ts";
import { decodeJournal, encodeJournal, type JournalEntry, type JournalFile, UndoJournal } from "./undo-journal.ts";

const HERE = { boot: "5d2c", netns: "net:[4026531840]" };
const CHANGES: readonly HostChange[] = [
  { kind: "link", device: "meshbr", type: "bridge", mac: "02:6d:65:73:68:01" },
  { kind: "address", device: "mesh0", index: 7, address: "10.77.2.1/32" },
  { kind: "route", device: "mesh0", index: 7, prefix: "fd00:77::/48", source: "fd00:77::1", table: 254 },
  { kind: "rule", family: 6, priority: 5209, selector: "iif mesh0", table: 109 },
  { kind: "sysctl", path: "net/ipv6/conf/mesh0/disable_ipv6", before: "1", after: "0", index: 7 },
  { kind: "nft-table", table: "mesh_mesh0", index: 7 },
];
const ENTRIES: readonly JournalEntry[] = CHANGES.map((change) => ({ ...HERE, change }));

/** mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

function isDamaged(error: unknown): boolean {
  return error instanceof MeshError && error.code === "state/damaged" && error.hint !== undefined;
}

function decodes(bytes: Uint8Array): boolean {
  try {
    decodeJournal(bytes);
    return true;
  } catch (error) {
    assert.ok(isDamaged(error), String(error));
    return false;
  }
}

class MemoryFile implements JournalFile {
  bytes: Uint8Array | undefined;
  aside: Uint8Array | undefined;
  writes = 0;
  error: Error | undefined;

  async read(): Promise<Uint8Array | undefined> {
    return this.bytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.error !== undefined) throw this.error;
    this.writes++;
    this.bytes = bytes;
  }

  async setAside(): Promise<string> {
    this.aside = this.bytes;
    this.bytes = undefined;
    return "aside";
  }
}

describe("the journal's bytes", () => {
  test("round trip, every kind and none", () => {
    assert.deepEqual(decodeJournal(encodeJournal(ENTRIES)), ENTRIES);
    assert.deepEqual(decodeJournal(encodeJournal([])), []);
  });

  test("every truncation and one byte more are refused", () => {
    const bytes = encodeJournal(ENTRIES);
    for (let length = 0; length < bytes.length; length++) assert.equal(decodes(bytes.subarray(0, length)), false, `cut to ${length}`);
    assert.equal(decodes(Buffer.concat([bytes, Buffer.from("x")])), false);
  });

  test("20,000 random inputs, seed 1: read as well-formed entries or refused, never another error", () => {
    const random = seeded(1);
    const good = encodeJournal(ENTRIES);
    for (let i = 0; i < 20_000; i++) {
      const bytes = i % 2 === 0 ? Uint8Array.from({ length: random() % 200 }, () => random()) : Uint8Array.from(good);
      if (i % 2 === 1) for (let n = 0; n <= random() % 4; n++) bytes[random() % bytes.length] = random();
      if (decodes(bytes)) for (const { change } of decodeJournal(bytes)) assert.deepEqual(parseHostChange(change), change);
    }
  });

  test("another version, another shape, an entry of another kind", () => {
    for (const text of ['{"version":3,"entries":[]}', '{"version":2}', "[]", "null", '{"version":2,"entries":[{}]}', "7"])
      assert.equal(decodes(Buffer.from(text)), false, text);
    const unknown = { version: 2, entries: [{ ...HERE, change: { kind: "qdisc", device: "mesh0" } }] };
    assert.throws(() => decodeJournal(Buffer.from(JSON.stringify(unknown))), /does not know \(number 1\)/);
  });

  test("what would be another command than it seems is no change", () => {
    const bad: readonly object[] = [
      { ...CHANGES[0], device: "a b" },
      { ...CHANGES[0], device: "meshbr\nlink del eth0" },
      { ...CHANGES[0], type: "bridge\nlink del eth0" },
      { ...CHANGES[0], mac: "02:6D:65:73:68:01" },
      { ...CHANGES[1], address: "10.77.2.1/33" },
      { ...CHANGES[1], address: "10.77.2.1" },
      { ...CHANGES[1], index: -1 },
      { ...CHANGES[2], prefix: "fd00:77::1/48" },
      { ...CHANGES[2], source: "here" },
      { ...CHANGES[3], selector: "iif mesh0; reboot" },
      { ...CHANGES[3], family: 5 },
      { ...CHANGES[4], path: "net/../kernel/core_pattern" },
      { ...CHANGES[4], path: "kernel/core_pattern" },
      { ...CHANGES[4], before: "1\n2" },
      { ...CHANGES[5], table: "x; flush ruleset" },
      { ...CHANGES[5], index: "7" },
      { kind: "toString" },
    ];
    for (const change of bad) assert.equal(parseHostChange(change), undefined, JSON.stringify(change));
    assert.deepEqual(parseHostChange({ ...CHANGES[5], more: 1 }), CHANGES[5]);
  });

  test("each can be undone by hand, and no two are taken for one another", () => {
    assert.deepEqual(CHANGES.map(undoByHand), [
      "ip link delete dev meshbr",
      "ip address del 10.77.2.1/32 dev mesh0",
      "ip route del fd00:77::/48 dev mesh0 proto 109",
      "ip -6 rule del pref 5209 iif mesh0 lookup 109 protocol 109",
      "sysctl -w net.ipv6.conf.mesh0.disable_ipv6=1",
      "nft delete table inet mesh_mesh0",
    ]);
    const moved = { ...CHANGES[2], source: "fd00:77::2" } as HostChange;
    assert.equal(new Set([...CHANGES, moved].map(changeKey)).size, 7);
  });
});

describe("UndoJournal", () => {
  const silent = pino({ level: "silent" });

  test("a change is durable before add resolves; what stands there is not written again", async () => {
    const file = new MemoryFile();
    const journal = new UndoJournal(file, silent);
    await journal.add(CHANGES.slice(0, 2), HERE);
    assert.deepEqual(decodeJournal(file.bytes ?? new Uint8Array()), ENTRIES.slice(0, 2));
    await journal.add(CHANGES.slice(1, 2), HERE);
    await journal.add([], HERE);
    await journal.remove([]);
    await journal.remove(ENTRIES.slice(4));
    assert.equal(file.writes, 1);
    await journal.remove(ENTRIES.slice(0, 1));
    assert.deepEqual(decodeJournal(file.bytes ?? new Uint8Array()), ENTRIES.slice(1, 2));
    assert.deepEqual(await new UndoJournal(file, silent).entries(), ENTRIES.slice(1, 2));
  });

  test("an equal change of another boot or namespace is another one", async () => {
    const journal = new UndoJournal(new MemoryFile(), silent);
    await journal.add(CHANGES.slice(5), HERE);
    await journal.add(CHANGES.slice(5), { ...HERE, boot: "other" });
    await journal.add(CHANGES.slice(5), { ...HERE, netns: "net:[1]" });
    assert.equal((await journal.entries()).length, 3);
  });

  test("of a sysctl changed twice, the first one's before and the last one's after stand", async () => {
    const journal = new UndoJournal(new MemoryFile(), silent);
    const change = { kind: "sysctl", path: "net/ipv4/ip_forward" } as const;
    await journal.add([{ ...change, before: "0", after: "1" }], HERE);
    await journal.add([{ ...change, before: "1", after: "2" }], HERE);
    assert.deepEqual(await journal.entries(), [{ ...HERE, change: { ...change, before: "0", after: "2" } }]);
  });

  test("a write that fails changes nothing here either", async () => {
    const file = new MemoryFile();
    const journal = new UndoJournal(file, silent);
    await journal.add(CHANGES.slice(0, 1), HERE);
    file.error = new Error("ENOSPC");
    await assert.rejects(journal.add(CHANGES, HERE), /ENOSPC/);
    await assert.rejects(journal.remove(ENTRIES), /ENOSPC/);
    file.error = undefined;
    assert.deepEqual(await journal.entries(), ENTRIES.slice(0, 1));
  });

  test("one that cannot be read is said once, refuses to be undone, stops no change, and is kept beside the new one", async () => {
    const file = new MemoryFile();
    file.bytes = Buffer.from('{"version":9}');
    const lines: string[] = [];
    const journal = new UndoJournal(file, pino({ level: "warn" }, { write: (line: string) => void lines.push(line) }));
    await assert.rejects(journal.entries(), isDamaged);
    await assert.rejects(journal.entries(), isDamaged);
    assert.deepEqual(file.bytes, Buffer.from('{"version":9}'), "it stays for the program that can read it");
    assert.equal(lines.length, 1);
    for (const change of CHANGES.slice(4)) await journal.add([change], HERE);
    assert.deepEqual(await journal.entries(), ENTRIES.slice(4));
    assert.deepEqual(file.aside, Buffer.from('{"version":9}'));
  });

  test("any other trouble of reading is the caller's", async () => {
    const file: JournalFile = {
      read: () => Promise.reject(new Error("EIO")),
      write: () => Promise.resolve(),
      setAside: () => Promise.resolve(""),
    };
    await assert.rejects(new UndoJournal(file, silent).entries(), /EIO/);
  });
});
