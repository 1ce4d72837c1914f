import assert from "node:assert/strict";
import { test } from "node:test";
import { type EventView, eventShape } from "./events.ts";
import { alivePeer, quietStatus } from "./status-fixture.ts";

const stamp = { version: 1, at: 5 } as const;
const peer = { name: "b", id: "bb" } as const;
const events: readonly EventView[] = [
  { ...stamp, type: "status", status: quietStatus },
  { ...stamp, type: "self", self: quietStatus.self },
  { ...stamp, type: "tunnel", tunnel: quietStatus.tunnel },
  { ...stamp, type: "control", control: quietStatus.control },
  { ...stamp, type: "peer-added", peer: alivePeer(2) },
  { ...stamp, type: "peer-gone", ...peer },
  { ...stamp, type: "peer-changed", peer: alivePeer(2) },
  { ...stamp, type: "peer-state", ...peer, from: "alive", to: "failed" },
  { ...stamp, type: "peer-path", ...peer, from: "x", to: "y", endpoint: "192.0.2.1:1" },
  { ...stamp, type: "peer-session", ...peer, sessionAt: 3 },
  { ...stamp, type: "peer-link", ...peer, linked: false },
  { ...stamp, type: "health-added", health: { level: "error", text: "t", hint: "h" } },
  { ...stamp, type: "health-cleared", health: { level: "warning", text: "t" } },
];
for (const event of events) {
  test(`${event.type}: it comes back from its line, what a newer agent adds is left out, and what it needs is missed`, () => {
    const line = JSON.parse(JSON.stringify(event));
    assert.deepEqual(eventShape(line, ""), event);
    assert.deepEqual(eventShape({ ...line, more: 1 }, ""), event);
    const optional = ["endpoint", "sessionAt"];
    for (const key of Object.keys(event))
      if (!optional.includes(key)) assert.throws(() => eventShape({ ...line, [key]: undefined }, ""), new RegExp(key));
  });
}

test("a type that is not known is passed over; another version is not", () => {
  assert.equal(eventShape({ version: 1, at: 1, type: "peer-danced", peer: 5 }, ""), undefined);
  assert.equal(eventShape({ version: 1, at: 1, type: "toString" }, ""), undefined);
  assert.throws(() => eventShape({ ...events[0], version: 2 }, ""), /version must be 1/);
  assert.throws(() => eventShape("status", ""), /must be an object/);
});
