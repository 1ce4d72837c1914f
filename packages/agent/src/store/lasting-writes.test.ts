import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MeshError } from "@mesh/core/errors";
import type { StoreDocument } from "@mesh/core/ports";
import { SettlingClock } from "../control/settling-clock-fixture.ts";
import { LastingWrites } from "./lasting-writes.ts";

const FULL = new MeshError("state/unwritable", "The disk is full.", { file: "node.state", reason: "full" });

function scene() {
  const clock = new SettlingClock();
  const disk = { isFull: false };
  const written: string[] = [];
  const durable: number[] = [];
  const failed: unknown[] = [];
  const store = {
    write: async (document: StoreDocument, bytes: Uint8Array): Promise<void> => {
      if (disk.isFull) throw FULL;
      written.push(`${clock.now()} ${document} ${bytes[0]}`);
    },
  };
  const writes = new LastingWrites({
    store,
    clock,
    onDurable: (id) => durable.push(id),
    onFailed: (_document, error) => failed.push(error),
  });
  return { clock, disk, written, durable, failed, writes };
}

describe("lasting writes", () => {
  it("tells what is durable", async () => {
    const { clock, writes, written, durable } = scene();
    writes.write("node", Uint8Array.of(1), 1);
    writes.write("records", Uint8Array.of(2), 2);
    await clock.advance(0);
    assert.deepEqual([written, durable, writes.trouble], [["0 node 1", "0 records 2"], [1, 2], undefined]);
  });

  it("tries the latest content of each document again until it is durable", async () => {
    const { clock, disk, writes, written, durable, failed } = scene();
    disk.isFull = true;
    writes.write("records", Uint8Array.of(9), 0);
    writes.write("node", Uint8Array.of(1), 1);
    await clock.advance(5_000);
    writes.write("node", Uint8Array.of(2), 2);
    await clock.advance(3_600_000);
    assert.deepEqual([written, durable, writes.trouble], [[], [], FULL]);
    assert.equal(failed.length, 361 + 2 + 360, "no write is tried beside a newer one of its document");
    disk.isFull = false;
    await clock.advance(10_000);
    assert.deepEqual(
      written.map((line) => line.slice(line.indexOf(" ") + 1)),
      ["records 9", "node 2"],
    );
    assert.deepEqual([durable, writes.trouble], [[0, 2], undefined]);
    await clock.advance(3_600_000);
    assert.equal(written.length, 2);
    assert.equal(clock.pending, 0);
  });

  it("ends with the trouble that is left, and tries no more", async () => {
    const { clock, disk, writes, failed } = scene();
    disk.isFull = true;
    writes.write("node", Uint8Array.of(1), 1);
    await clock.advance(0);
    await assert.rejects(writes.close(), FULL);
    await clock.advance(60_000);
    assert.deepEqual([failed.length, clock.pending], [2, 0], "the last attempt is at the end");
  });

  it("ends well when there is room at the last attempt", async () => {
    const { clock, disk, writes, written } = scene();
    disk.isFull = true;
    writes.write("records", Uint8Array.of(7), 0);
    await clock.advance(3_000);
    disk.isFull = false;
    await writes.close();
    assert.deepEqual(written, ["3000 records 7"]);
  });
});
