import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { DatagramQueue, LONGEST_WAIT, MAX_WAITING_BYTES } from "./datagram-queue.ts";

function queueOf(): { readonly clock: ManualClock; readonly queue: DatagramQueue; dropped: () => number } {
  const clock = new ManualClock(1_000);
  let dropped = 0;
  const queue = new DatagramQueue(clock, (count) => {
    dropped += count;
  });
  return { clock, queue, dropped: () => dropped };
}

test("first in, first out", () => {
  const { queue, dropped } = queueOf();
  for (let i = 0; i < 5_000; i++) {
    queue.push(Uint8Array.of(i & 255, i >> 8));
    if (i % 3 > 0) queue.shift();
  }
  const [first = 0, second = 0] = queue.shift() ?? [];
  assert.equal(first + second * 256, 3_333);
  assert.deepEqual([queue.bytes, dropped()], [2 * (5_000 - 3_334), 0]);
});

test("what waited longer than 100 ms is dropped and counted, however little waits", () => {
  const { clock, queue, dropped } = queueOf();
  queue.push(Uint8Array.of(1));
  clock.advance(LONGEST_WAIT);
  queue.push(Uint8Array.of(2));
  assert.deepEqual(queue.shift(), Uint8Array.of(1), "just in time");
  clock.advance(LONGEST_WAIT + 1);
  queue.push(Uint8Array.of(3));
  assert.deepEqual([queue.shift(), queue.shift(), dropped()], [Uint8Array.of(3), undefined, 1]);
});

test("where nothing leaves, the oldest makes room", () => {
  const { queue, dropped } = queueOf();
  const size = 1_024;
  for (let i = 0; i < MAX_WAITING_BYTES / size + 10; i++) queue.push(new Uint8Array(size).fill(i));
  assert.deepEqual([queue.bytes, dropped()], [MAX_WAITING_BYTES, 10]);
  assert.equal(queue.shift()?.[0], 10);
});
