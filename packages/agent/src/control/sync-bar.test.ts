import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type NodeId, nodeId } from "@mesh/core/ports";
import { BARRED_FOR, MAX_REMEMBERED, REJECTED_WINDOW, SyncBar } from "./sync-bar.ts";

function node(n: number): NodeId {
  return nodeId(
    new Uint8Array(32)
      .fill(1)
      .with(0, n & 255)
      .with(1, n >> 8),
  );
}

describe("sync bar", () => {
  it("bars a member at the third rejection within ten minutes, for ten minutes", () => {
    const bar = new SyncBar();
    bar.rejected(node(1), 0);
    bar.rejected(node(1), 1_000);
    assert.equal(bar.isBarred(node(1), 1_000), false);
    bar.rejected(node(1), 2_000);
    assert.deepEqual(
      [2_000, 2_000 + BARRED_FOR - 1, 2_000 + BARRED_FOR].map((now) => bar.isBarred(node(1), now)),
      [true, true, false],
    );
    assert.equal(bar.isBarred(node(2), 2_000), false);
  });

  it("forgives what is longer ago", () => {
    const bar = new SyncBar();
    for (const at of [0, 1, REJECTED_WINDOW]) bar.rejected(node(1), at);
    assert.equal(bar.isBarred(node(1), REJECTED_WINDOW), false);
    bar.rejected(node(1), REJECTED_WINDOW);
    assert.equal(bar.isBarred(node(1), REJECTED_WINDOW), true);
  });

  it("remembers a bounded number of members", () => {
    const bar = new SyncBar();
    for (let n = 0; n < 5_000; n++) bar.rejected(node(n), n);
    assert.equal(bar.remembered, MAX_REMEMBERED);
  });
});
