import assert from "node:assert/strict";
import { test } from "node:test";
import { idOf } from "../membership/sample-network-fixture.ts";
import { ASK_TIMEOUT, AskDesk } from "./ask-desk.ts";

const [a, b] = [idOf("a"), idOf("b")];

test("a command is done when the last of those it asked has answered, and not twice", () => {
  const desk = new AskDesk();
  desk.add(1, [a, b], 100);
  desk.add(2, [b], 100);
  assert.deepEqual(desk.takeAnswered(a), []);
  assert.deepEqual(desk.takeAnswered(a), []);
  assert.deepEqual(desk.takeAnswered(b), [1, 2]);
  assert.deepEqual(desk.takeAnswered(b), []);
  assert.equal(desk.wakeAt(), undefined);
});

test("it waits a second and not longer", () => {
  const desk = new AskDesk();
  desk.add(1, [a], 100);
  desk.add(2, [a], 101);
  assert.equal(desk.wakeAt(), 100 + ASK_TIMEOUT);
  assert.deepEqual(desk.takeOverdue(99 + ASK_TIMEOUT), []);
  assert.deepEqual(desk.takeOverdue(100 + ASK_TIMEOUT), [1]);
  assert.deepEqual(desk.takeAnswered(a), [2]);
});

test("8 commands ask at once at most", () => {
  const desk = new AskDesk();
  for (let id = 0; id < 8; id++) {
    assert.equal(desk.isFull, false);
    desk.add(id, [a], 0);
  }
  assert.equal(desk.isFull, true);
  desk.takeOverdue(ASK_TIMEOUT);
  assert.equal(desk.isFull, false);
});
