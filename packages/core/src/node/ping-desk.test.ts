import assert from "node:assert/strict";
import { test } from "node:test";
import { idOf } from "../membership/sample-network-fixture.ts";
import { PING_TIMEOUT, PingDesk, pingView } from "./ping-desk.ts";

const [a, b] = [idOf("a"), idOf("b")];

test("who waited for a node is taken once, the others go on waiting", () => {
  const desk = new PingDesk();
  assert.ok(desk.add(1, a, 100) && desk.add(2, b, 200) && desk.add(3, a, 300));
  assert.equal(desk.wakeAt(), 100 + PING_TIMEOUT);
  assert.deepEqual(desk.takeAnswered(a), [1, 3]);
  assert.deepEqual(desk.takeAnswered(a), []);
  assert.equal(desk.wakeAt(), 200 + PING_TIMEOUT);
});

test("whose time is over is taken once, at the time and not before", () => {
  const desk = new PingDesk();
  desk.add(1, a, 100);
  desk.add(2, b, 101);
  assert.deepEqual(desk.takeOverdue(99 + PING_TIMEOUT), []);
  assert.deepEqual(desk.takeOverdue(100 + PING_TIMEOUT), [[1, a]]);
  assert.deepEqual(desk.takeOverdue(1e9), [[2, b]]);
  assert.equal(desk.wakeAt(), undefined);
});

test("256 wait at most; one taken makes room", () => {
  const desk = new PingDesk();
  for (let id = 0; id < 256; id++) assert.ok(desk.add(id, id === 0 ? b : a, 0));
  assert.equal(desk.add(256, a, 0), false);
  desk.takeAnswered(b);
  assert.ok(desk.add(257, a, 0));
});

test("an answer shows its round trip, also one of 0 ms, and the path it took; no answer shows the path as it is", () => {
  const parts = { node: "b", address: "10.77.2.1", session: true, throughTunnel: true };
  const path = "relayed by c, looking for a direct path";
  const relayed = { path: "relayed by c", relay: "c" };
  const direct = { path: "direct 192.0.2.1:9", endpoint: "192.0.2.1:9" };
  for (const way of [relayed, direct])
    assert.deepEqual(pingView({ ...parts, path, answer: { ...way, rtt: 0 } }), { ...parts, ...way, answered: true, rttMs: 0 });
  assert.deepEqual(pingView({ ...parts, path, answer: undefined }), { ...parts, path, answered: false });
});
