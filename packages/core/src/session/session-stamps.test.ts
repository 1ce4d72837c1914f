import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type Millis, minutes } from "../time/millis.ts";
import { STAMP_LEAD } from "./constants.ts";
import { SessionTable } from "./session-table.ts";
import { crypto, initiate, KEY_A, KEY_B, only, SLOT, tables, toA, toB, types, WALL } from "./two-tables-fixture.ts";

// The table's side of stamps that rise over restarts: it asks, it waits, it goes on. The arithmetic is StampClock's.

const DAY = minutes(24 * 60);

/** A table after a (re)start, that knows B. */
function started(floor: Millis, wallAt: Millis): { readonly table: SessionTable; readonly until: Millis } {
  const table = new SessionTable({ crypto, random: new SeededRandom(floor & 0xffff), key: KEY_A, stampFloor: floor });
  const { until } = only(table.handle({ type: "wall-clock", offset: wallAt }, 0), "reserve-stamps");
  table.handle({ type: "peer-added", slot: SLOT, tunnelKey: KEY_B.publicKey }, 0);
  return { table, until };
}

test("the wall clock asks for a reservation; a handshake wanted before it is durable leaves as soon as it is", () => {
  const { b } = tables(1);
  const { table, until } = started(0, WALL);
  assert.equal(until, WALL + STAMP_LEAD);
  assert.equal(types(table.handle({ type: "session-wanted", slot: SLOT }, 10)), "");
  assert.equal(types(table.handle({ type: "session-wanted", slot: SLOT }, 20)), "");
  assert.equal(types(table.handle({ type: "session-lost", slot: SLOT }, 20)), "");
  assert.equal(table.wakeAt(), undefined);
  const { bytes } = only(table.handle({ type: "stamps-reserved", until }, 30), "send-handshake");
  assert.equal(types(table.handle({ type: "stamps-reserved", until }, 31)), "");
  assert.equal(types(toA(table, only(toB(b, bytes, 40), "reply").bytes, 50)), "heard, install-session, send-keepalive");
});

test("what waits is forgotten with its peer, and when the peer's own handshake is confirmed", () => {
  for (const end of ["removed", "confirmed"]) {
    const { b } = tables(1);
    const { table, until } = started(0, WALL);
    table.handle({ type: "session-wanted", slot: SLOT }, 10);
    if (end === "removed") table.handle({ type: "peer-removed", slot: SLOT }, 20);
    else {
      const { localIndex } = only(toA(table, initiate(b, 15), 20), "install-session").session;
      table.handle({ type: "session-confirmed", slot: SLOT, localIndex }, 25);
    }
    assert.equal(types(table.handle({ type: "stamps-reserved", until }, 30)), "", end);
  }
});

test("a reservation is renewed by a handshake, not by time", () => {
  const { table, until } = started(0, WALL);
  table.handle({ type: "stamps-reserved", until }, 1);
  initiate(table, 10);
  const later = minutes(8);
  table.handle({ type: "timer" }, later);
  const effects = table.handle({ type: "session-wanted", slot: SLOT }, later + 1);
  assert.equal(types(effects), "reserve-stamps, send-handshake");
  assert.equal(only(effects, "reserve-stamps").until, WALL + later + 1 + STAMP_LEAD);
});

test("restarts with the clock right, a day ahead, a day behind, and set back while running: every initiation is answered", () => {
  const { b } = tables(1);
  let floor = 0;
  let now = 0;
  for (const wallAt of [WALL, WALL + DAY, WALL - DAY, WALL - DAY, WALL]) {
    const { table, until } = started(floor, wallAt);
    floor = until;
    table.handle({ type: "stamps-reserved", until }, 0);
    for (const offset of [wallAt, wallAt - DAY, wallAt + DAY, wallAt]) {
      now += 10_000;
      const stepped = table.handle({ type: "wall-clock", offset }, now);
      const asked = [...stepped, ...table.handle({ type: "session-lost", slot: SLOT }, now)];
      const { bytes } = only(
        asked.filter(({ type }) => type !== "reserve-stamps"),
        "send-handshake",
      );
      const answered = toB(b, bytes, now);
      assert.match(types(answered), /reply$/, `clock at ${offset}`);
      toA(table, only(answered, "reply").bytes, now);
      for (const effect of asked) {
        if (effect.type !== "reserve-stamps") continue;
        floor = effect.until;
        table.handle({ type: "stamps-reserved", until: floor }, now);
      }
    }
  }
});
