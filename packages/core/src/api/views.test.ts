import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ErrorView,
  errorShape,
  type InviteView,
  inviteShape,
  type LeaveView,
  leaveShape,
  type PingView,
  pingShape,
  type RoutesView,
  routesShape,
  type StatusView,
  statusShape,
} from "./views.ts";

const address = { address4: "10.77.2.1", address6: "fd00:0:0:2::1", subnet4: "10.77.2.0/24", subnet6: "fd00:0:0:2::/64" };
const status: StatusView = {
  version: 1,
  network: { name: "home", id: "ab", prefix4: "10.77.0.0/16", prefix6: "fd00::/48" },
  self: {
    name: "a",
    id: "aa",
    number: 2,
    role: "admin",
    holdsRoot: true,
    seenAs: [],
    mapped: ["203.0.113.7:5000"],
    startedAt: 1,
    ...address,
  },
  tunnel: { device: "mesh0", mtu: 1_420, udpPort: 51_820, backend: "native" },
  control: { listen: ["192.0.2.1:443"], links: 1 },
  peers: [
    {
      name: "b",
      id: "bb",
      number: 3,
      role: "member",
      state: "alive",
      path: "direct 192.0.2.2:5000",
      endpoint: "192.0.2.2:5000",
      rttMs: 1.5,
      rttAt: 2,
      heardAt: 2,
      sessionAt: 1,
      receivedBytes: 1,
      sentBytes: 2,
      receivedPackets: 3,
      sentPackets: 4,
      linked: true,
      conflict: true,
      ...address,
    },
    {
      name: "c",
      id: "cc",
      number: 4,
      role: "member",
      state: "unknown",
      path: "not tried yet",
      receivedBytes: 0,
      sentBytes: 0,
      linked: false,
      ...address,
    },
  ],
  health: [
    { level: "warning", text: "No.", hint: "Do." },
    { level: "error", text: "No." },
  ],
  counters: { "udp.notAuthentic": 3 },
};
const routes: RoutesView = {
  version: 1,
  routes: [{ prefix: "10.77.2.0/24", node: "a", nodeId: "aa", backend: "local", nextHop: "mesh0", reason: "own" }],
};
const invite: InviteView = { invite: "mesh1abc", expiresAt: 5, uses: 1, reachableAt: ["192.0.2.1:443"] };
const ping: PingView = {
  node: "b",
  address: "10.77.3.1",
  answered: true,
  path: "direct 192.0.2.2:5000",
  endpoint: "192.0.2.2:5000",
  rttMs: 1,
  session: true,
  throughTunnel: false,
};
const leave: LeaveView = { network: "home", told: 2 };
const error: ErrorView = { error: { code: "peer/unknown", message: "No.", hint: "Do.", details: { wanted: "x", tried: [1, null] } } };

const views = {
  status: [statusShape, status],
  routes: [routesShape, routes],
  invite: [inviteShape, invite],
  ping: [pingShape, ping],
  leave: [leaveShape, leave],
  error: [errorShape, error],
} as const;
for (const [name, [shape, view]] of Object.entries(views)) {
  test(`${name}: it comes back from its JSON, and what a newer agent adds is left out`, () => {
    assert.deepEqual(shape(JSON.parse(JSON.stringify(view)), ""), view);
    assert.deepEqual(shape({ ...view, more: 1 }, ""), view);
  });

  test(`${name}: every key it needs is missed when it is not there`, () => {
    const optional = ["endpoint", "rttMs", "throughTunnel", "hint", "details"];
    for (const key of Object.keys(view)) if (!optional.includes(key)) assert.throws(() => shape({ ...view, [key]: undefined }, ""), key);
  });
}

test("another version than the one it knows is refused", () => {
  for (const version of [0, 2, "1", undefined]) {
    assert.throws(() => statusShape({ ...status, version }, ""), /^ShapeError: version must be 1$/);
    assert.throws(() => routesShape({ ...routes, version }, ""), /version must be 1/);
  }
});

test("states and roles are the ones that are known", () => {
  assert.throws(() => statusShape({ ...status, peers: [{ ...status.peers[1], state: "dead" }] }, ""), /peers\[0\]\.state/);
  assert.throws(() => statusShape({ ...status, self: { ...status.self, role: "root" } }, ""), /self\.role/);
});
