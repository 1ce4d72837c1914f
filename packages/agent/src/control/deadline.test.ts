import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { DeadlineError, withDeadline } from "./deadline.ts";
import { SettlingClock } from "./settling-clock-fixture.ts";

describe("deadline", () => {
  it("gives what the work gives, and leaves neither timer nor listener nor an aborted signal", async () => {
    const clock = new SettlingClock();
    const parent = new AbortController();
    let inner: AbortSignal | undefined;
    const result = await withDeadline({ clock, timeout: 100, signal: parent.signal }, async (signal) => {
      inner = signal;
      return 7;
    });
    parent.abort();
    assert.deepEqual([result, clock.pending, inner?.aborted, getEventListeners(parent.signal, "abort").length], [7, 0, false, 0]);
  });

  it("gives up on time, whether or not the work obeys", async () => {
    const clock = new SettlingClock();
    let inner: AbortSignal | undefined;
    const work = withDeadline({ clock, timeout: 100 }, (signal) => {
      inner = signal;
      return new Promise<never>(() => {});
    });
    work.catch(() => {});
    await clock.advance(99);
    assert.equal(inner?.aborted, false);
    await clock.advance(1);
    await assert.rejects(work, DeadlineError);
    assert.equal(inner?.aborted, true);
  });

  it("gives up with its caller, and does not begin after it", async () => {
    const clock = new SettlingClock();
    const parent = new AbortController();
    const work = withDeadline({ clock, timeout: 100, signal: parent.signal }, () => new Promise<never>(() => {}));
    parent.abort(new Error("enough"));
    await assert.rejects(work, /enough/);
    await assert.rejects(
      withDeadline({ clock, timeout: 100, signal: parent.signal }, () => assert.fail("began")),
      /enough/,
    );
    assert.equal(clock.pending, 0);
  });
});
