import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";

const POLL_INTERVAL = 2;
/** Far above what anything here takes, so that only what never happens fails. */
const GIVE_UP_AFTER = 10_000;

/** Waits until `isTrue` says so; fails with `what` when it never does. */
export async function eventually(what: string, isTrue: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + GIVE_UP_AFTER;
  while (!isTrue()) {
    assert.ok(performance.now() < giveUpAt, `this never happened: ${what}`);
    await delay(POLL_INTERVAL);
  }
}
