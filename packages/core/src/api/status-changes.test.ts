import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventView } from "./events.ts";
import { statusChanges } from "./status-changes.ts";
import { alivePeer, quietStatus } from "./status-fixture.ts";
import type { PeerView, StatusView } from "./views.ts";

const AT = 7;
const stamp = { version: 1, at: AT } as const;
const b = alivePeer(2);

function changes(before: Partial<StatusView>, after: Partial<StatusView>): readonly EventView[] {
  return statusChanges({ ...quietStatus, ...before }, { ...quietStatus, ...after }, AT);
}

function peerChange(before: Partial<PeerView>, after: Partial<PeerView>): readonly EventView[] {
  return changes({ peers: [{ ...b, ...before }] }, { peers: [{ ...b, ...after }] });
}

test("what moves all the time is no change: counts, round trips, when it was heard, ages, a slewed clock", () => {
  const failed = { state: "failed", path: "no answer for 4 s" } as const;
  const later = { path: "no answer for 12 m", receivedBytes: 9, sentPackets: 1, rttMs: 3, rttAt: 4, heardAt: 5, sessionAt: 1_004_999 };
  const health = (age: string): StatusView["health"] => [{ level: "warning", text: `1 of 1 peers: b: no answer for ${age}` }];
  assert.deepEqual(
    changes(
      { peers: [{ ...b, ...failed, sessionAt: 1_000_000 }], health: health("4 s") },
      {
        peers: [{ ...b, ...failed, ...later }],
        health: health("12 m"),
        counters: { x: 1 },
        self: { ...quietStatus.self, startedAt: 900 },
      },
    ),
    [],
  );
  assert.deepEqual(statusChanges(quietStatus, structuredClone(quietStatus), AT), []);
});

test("peers come, go and change their records", () => {
  const c = alivePeer(3);
  assert.deepEqual(changes({ peers: [b] }, { peers: [c] }), [
    { ...stamp, type: "peer-gone", name: "node-2", id: "id-2" },
    { ...stamp, type: "peer-added", peer: c },
  ]);
  const renumbered = { ...b, number: 9 };
  assert.deepEqual(peerChange({}, renumbered), [{ ...stamp, type: "peer-changed", peer: renumbered }]);
  assert.deepEqual(
    peerChange({}, { conflict: true }).map(({ type }) => type),
    ["peer-changed"],
  );
});

test("each property of a peer has its own event", () => {
  const name = { name: "node-2", id: "id-2" };
  assert.deepEqual(peerChange({}, { state: "suspect" }), [{ ...stamp, type: "peer-state", ...name, from: "alive", to: "suspect" }]);
  assert.deepEqual(peerChange({}, { path: "relay x", endpoint: "192.0.2.9:1" }), [
    { ...stamp, type: "peer-path", ...name, from: b.path, to: "relay x", endpoint: "192.0.2.9:1" },
  ]);
  assert.deepEqual(
    peerChange({}, { endpoint: "192.0.2.9:1" }).map(({ type }) => type),
    ["peer-path"],
  );
  const { endpoint: _, ...pathless } = b;
  const [lost] = changes({ peers: [b] }, { peers: [{ ...pathless, path: "no answer for 1 s" }] });
  assert.deepEqual(lost, { ...stamp, type: "peer-path", ...name, from: b.path, to: "no answer for 1 s" });
  assert.deepEqual(peerChange({}, { sessionAt: 5 }), [{ ...stamp, type: "peer-session", ...name, sessionAt: 5 }]);
  assert.deepEqual(peerChange({ sessionAt: 5 }, { sessionAt: 5_005 }).length, 1);
  assert.deepEqual(peerChange({ sessionAt: 5 }, {}), [{ ...stamp, type: "peer-session", ...name }]);
  assert.deepEqual(peerChange({}, { linked: false }), [{ ...stamp, type: "peer-link", ...name, linked: false }]);
});

test("this node's address, its tunnel and engine, its control plane, and its health", () => {
  const { address4: _, ...self } = quietStatus.self;
  const tunnel = { ...quietStatus.tunnel, backend: "twin" } as const;
  const control = { listen: [], links: 1 };
  const health = [
    { level: "warning", text: "w" },
    { level: "error", text: "e", hint: "h" },
  ] as const;
  assert.deepEqual(changes({ health: [health[0]] }, { self, tunnel, control, health: [health[1]] }), [
    { ...stamp, type: "self", self },
    { ...stamp, type: "tunnel", tunnel },
    { ...stamp, type: "control", control },
    { ...stamp, type: "health-cleared", health: health[0] },
    { ...stamp, type: "health-added", health: health[1] },
  ]);
});
