import assert from "node:assert/strict";
import { test } from "node:test";
import { WakeQueue } from "./wake-queue.ts";

test("items come out when they are due, the earliest first", () => {
  const queue = new WakeQueue<string>();
  queue.schedule("b", 20);
  queue.schedule("a", 10);
  queue.schedule("c", 30);
  assert.equal(queue.nextAt(), 10);
  assert.equal(queue.takeDue(9), undefined);
  assert.deepEqual([queue.takeDue(25), queue.takeDue(25), queue.takeDue(25)], ["a", "b", undefined]);
  assert.equal(queue.nextAt(), 30);
});

test("an earlier time counts, a later one does not move it, a removed item never comes", () => {
  const queue = new WakeQueue<string>();
  queue.schedule("a", 20);
  queue.schedule("a", 10);
  queue.schedule("a", 30);
  queue.schedule("a", undefined);
  queue.schedule("b", 5);
  queue.remove("b");
  assert.equal(queue.nextAt(), 10);
  assert.equal(queue.takeDue(50), "a");
  assert.deepEqual([queue.takeDue(50), queue.nextAt()], [undefined, undefined]);
});

test("seed 1: thousands of items come out in order, each once", () => {
  const queue = new WakeQueue<number>();
  const at = new Map<number, number>();
  let state = 1;
  for (let i = 0; i < 10_000; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const item = (state >>> 4) % 3_000;
    const time = state >>> 16;
    queue.schedule(item, time);
    at.set(item, Math.min(time, at.get(item) ?? Infinity));
  }
  let last = 0;
  for (let item = queue.takeDue(Infinity); item !== undefined; item = queue.takeDue(Infinity)) {
    const time = at.get(item) ?? assert.fail(`item ${item} came twice`);
    assert.ok(time >= last);
    last = time;
    at.delete(item);
  }
  assert.equal(at.size, 0);
});
