import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { DatapathException, Ip } from "@mesh/core/ports";
import { ExceptionQueue } from "./exception-queue.ts";

const from = { endpoint: { ip: "192.0.2.1" as Ip, port: 1 } };
const DATAGRAM: DatapathException = { type: "datagram", from, receivedAt: 0, bytes: new Uint8Array() };
const wanted = (slot: number): DatapathException => ({ type: "session-wanted", slot });

test("nothing is delivered inside the call that reports it; then in batches and in order", async () => {
  const batches: (readonly DatapathException[])[] = [];
  const queue = new ExceptionQueue((batch) => batches.push(batch));
  for (let slot = 0; slot < 150; slot++) assert.equal(queue.push(wanted(slot)), true);
  assert.equal(batches.length, 0);
  while (batches.flat().length < 150) await turn();
  assert.deepEqual(
    batches.flat(),
    Array.from({ length: 150 }, (_, slot) => wanted(slot)),
  );
  assert.deepEqual(
    batches.map(({ length }) => length),
    [64, 64, 22],
  );
});

test("datagrams have room of their own, and it comes back", async () => {
  let delivered = 0;
  const queue = new ExceptionQueue((batch) => {
    delivered += batch.length;
  });
  for (let i = 0; i < 1_024; i++) assert.equal(queue.push(DATAGRAM), true);
  assert.equal(queue.push(DATAGRAM), false);
  for (let slot = 0; slot < 1_024; slot++) assert.equal(queue.push(wanted(slot)), true);
  assert.equal(queue.push(wanted(0)), false);
  while (delivered < 2_048) await turn();
  assert.equal(queue.push(DATAGRAM), true);
  assert.equal(queue.push(wanted(0)), true);
});

test("after close nothing is delivered", async () => {
  const queue = new ExceptionQueue(() => assert.fail("delivered"));
  for (let i = 0; i < 100; i++) queue.push(DATAGRAM);
  queue.close();
  await turn();
  await turn();
});
