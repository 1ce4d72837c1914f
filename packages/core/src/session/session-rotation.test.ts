import assert from "node:assert/strict";
import { test } from "node:test";
import { rotateConfirmed, rotateExpired, rotateInitiated, rotateResponded, type Session } from "./session-rotation.ts";

const session = (localIndex: number, role: Session["role"] = "initiator"): Session => ({ localIndex, role, createdAt: localIndex * 1_000 });
const [first, second, third, fourth] = [session(1), session(2), session(3), session(4, "responder")];
const full = { next: fourth, current: third, previous: second };

test("an initiated session is current, the old one previous; one that waited is newer than that, and takes its place", () => {
  assert.deepEqual(rotateInitiated({}, first), { rotation: { current: first }, dropped: [] });
  const two = { current: third, previous: second };
  assert.deepEqual(rotateInitiated(two, first), { rotation: { current: first, previous: third }, dropped: [second] });
  assert.deepEqual(rotateInitiated(full, first), { rotation: { current: first, previous: fourth }, dropped: [third, second] });
});

test("a responder's session waits, in place of one that waited, and the one before the current goes", () => {
  assert.deepEqual(rotateResponded(full, first), { rotation: { next: first, current: third }, dropped: [fourth, second] });
});

test("confirmation makes it current, of that session only", () => {
  assert.equal(rotateConfirmed(full, 3), undefined);
  assert.deepEqual(rotateConfirmed(full, 4), { rotation: { current: fourth, previous: third }, dropped: [second] });
});

test("at 180 s, not before, a session is dropped from wherever it is", () => {
  assert.deepEqual(rotateExpired(full, 181_999).dropped, []);
  assert.deepEqual(rotateExpired(full, 182_000), { rotation: { next: fourth, current: third }, dropped: [second] });
  assert.deepEqual(rotateExpired(full, 184_000), { rotation: {}, dropped: [fourth, third, second] });
});
