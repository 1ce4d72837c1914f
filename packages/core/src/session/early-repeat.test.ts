import assert from "node:assert/strict";
import { test } from "node:test";
import { EARLY_REPEAT_INTERVAL, MOST_INITIATIONS, REKEY_ATTEMPT_TIME } from "./constants.ts";
import type { SessionEffect } from "./session-event.ts";
import type { SessionTable } from "./session-table.ts";
import { establish, initiate, only, SLOT, tables, toA, toB, types } from "./two-tables-fixture.ts";

const proven = (table: SessionTable, now: number, repeatAt = now): readonly SessionEffect[] =>
  table.handle({ type: "path-proven", slot: SLOT, repeatAt }, now);

test("an initiation is repeated when a path is proven, at once or at the instant that is told, and the answer to that one counts", () => {
  const { a, b } = tables(1);
  initiate(a, 1_000);
  const again = only(proven(a, 1_200), "send-handshake").bytes;
  const answered = toB(b, again, 1_220);
  assert.equal(types(toA(a, only(answered, "reply").bytes, 1_240)), "heard, install-session, send-keepalive");
  assert.deepEqual(proven(a, 1_300), [], "nothing is under way any more");

  const later = tables(2);
  initiate(later.a, 1_000);
  assert.deepEqual(proven(later.a, 1_100, 1_190), []);
  assert.equal(later.a.wakeAt(), 1_190);
  assert.deepEqual(later.a.handle({ type: "timer" }, 1_189), []);
  assert.equal(types(later.a.handle({ type: "timer" }, 1_190)), "send-handshake");
});

test("not sooner than 50 ms after the last one: closer ones are refused", () => {
  const { a, b } = tables(1);
  toB(b, initiate(a, 1_000), 1_020);
  assert.deepEqual(proven(a, 1_010), []);
  assert.equal(a.wakeAt(), 1_000 + EARLY_REPEAT_INTERVAL);
  const again = only(a.handle({ type: "timer" }, 1_000 + EARLY_REPEAT_INTERVAL), "send-handshake").bytes;
  assert.equal(types(toB(b, again, 1_020 + EARLY_REPEAT_INTERVAL)), "heard, drop-session, install-session, reply");
});

test("a path that is proven again and again makes no flood of it, and the attempt ends when it would have", () => {
  const { a } = tables(1);
  initiate(a, 1_000);
  let sent = 1;
  let failedAt: number | undefined;
  for (let now = 1_000; now < 200_000 && failedAt === undefined; now += 10) {
    const effects = [...proven(a, now), ...a.handle({ type: "timer" }, now)];
    sent += effects.filter(({ type }) => type === "send-handshake").length;
    if (effects.some(({ type }) => type === "handshake-failed")) failedAt = now;
  }
  assert.ok(sent >= MOST_INITIATIONS && sent <= MOST_INITIATIONS + 18, `${sent}`);
  assert.ok(failedAt !== undefined && failedAt <= 1_000 + REKEY_ATTEMPT_TIME + 10);
});

test("a session that is there is not replaced by it, and a peer that is not known is nothing", () => {
  const { a, b } = tables(1);
  establish({ a, b }, 1_000);
  assert.deepEqual(proven(a, 2_000), []);
  assert.deepEqual(a.handle({ type: "path-proven", slot: 99, repeatAt: 0 }, 2_000), []);
});
