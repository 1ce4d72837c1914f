import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ControlEvent, nodeId } from "@mesh/core/ports";
import { EventQueue } from "./event-queue.ts";
import { settled } from "./settling-clock-fixture.ts";

const down = (n: number): ControlEvent => ({ type: "link-down", node: nodeId(Uint8Array.of(n)) });

describe("event queue", () => {
  it("reports in order, never inside a call, also what comes of an event", async () => {
    const seen: ControlEvent[] = [];
    let isReceiving = false;
    const queue = new EventQueue((event) => {
      assert.equal(isReceiving, false, "entered while it was at work");
      isReceiving = true;
      seen.push(event);
      if (seen.length === 1) queue.push(down(3));
      isReceiving = false;
    });
    queue.push(down(1));
    queue.push(down(2));
    assert.equal(seen.length, 0);
    await settled();
    assert.deepEqual(seen, [down(1), down(2), down(3)]);
    queue.push(down(4));
    await settled();
    assert.equal(seen.length, 4);
  });

  it("reports nothing after close, not even what waits", async () => {
    const seen: ControlEvent[] = [];
    const queue = new EventQueue((event) => {
      seen.push(event);
      queue.close();
    });
    queue.push(down(1));
    queue.push(down(2));
    await settled();
    queue.push(down(3));
    await settled();
    assert.deepEqual(seen, [down(1)]);
  });
});
