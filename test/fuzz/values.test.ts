/** JSON from outside: the order for an agent, its progress, and both sides of every call of the API. Read, or refused with ShapeError. */
import assert from "node:assert/strict";
import {
  type ApiCall,
  api,
  type ErrorView,
  type EventView,
  errorShape,
  eventShape,
  type Shape,
  ShapeError,
  statusShape,
} from "@mesh/core/api";
import { type LaunchOrder, type LaunchProgress, launchOrder, launchProgress } from "@mesh/core/config";
import { type HostChange, parseHostChange, undoByHand } from "../../packages/agent/src/host/host-change.ts";
import { netcheck, why } from "../../packages/core/src/api/why-view-fixture.ts";
import { type FuzzTarget, fuzz } from "./fuzz-target.ts";
import { valueKind } from "./mutate-value.ts";

const node = { address4: "10.77.2.1", address6: "fd00:0:0:2::1", subnet4: "10.77.2.0/24", subnet6: "fd00:0:0:2::/64" };
const peer = {
  name: "b",
  id: "bb",
  number: 3,
  role: "member",
  state: "alive",
  path: "direct 192.0.2.2:5000",
  endpoint: "192.0.2.2:5000",
  rttMs: 1.5,
  receivedBytes: 1,
  sentBytes: 2,
  linked: true,
  ...node,
};

/** Of each call an honest request and an honest answer. */
const calls: Readonly<Record<keyof typeof api, { readonly request: unknown; readonly response: unknown }>> = {
  status: {
    request: {},
    response: {
      version: 1,
      network: { name: "home", id: "ab", prefix4: "10.77.0.0/16", prefix6: "fd00::/48" },
      self: { name: "a", id: "aa", number: 2, role: "admin", holdsRoot: true, seenAs: ["192.0.2.1:9"], startedAt: 1, ...node },
      tunnel: { device: "mesh0", mtu: 1_420, udpPort: 51_820, backend: "native" },
      control: { listen: ["192.0.2.1:443"], links: 1 },
      peers: [peer],
      health: [{ level: "warning", text: "No.", hint: "Do." }],
      counters: { "udp.notAuthentic": 3 },
    },
  },
  routes: {
    request: {},
    response: {
      version: 1,
      routes: [{ prefix: "10.77.2.0/24", node: "a", nodeId: "aa", backend: "local", nextHop: "mesh0", reason: "own" }],
    },
  },
  invite: { request: { uses: 2, ttlSeconds: 60 }, response: { invite: "mesh1abc", expiresAt: 5, uses: 1, reachableAt: ["192.0.2.1:443"] } },
  ping: {
    request: { target: "b" },
    response: { node: "b", address: "10.77.3.1", answered: true, path: "direct", rttMs: 1, session: true },
  },
  why: { request: { target: "b" }, response: why },
  netcheck: { request: {}, response: netcheck },
  leave: { request: { force: true }, response: { network: "home", told: 2 } },
  down: { request: {}, response: {} },
};
const order: LaunchOrder = {
  command: "init",
  stateRoot: "/var/lib/mesh",
  network: "home",
  nodeName: "a",
  cidr: "10.77.0.0/16",
  nodeBits: 24,
  tunName: "mesh0",
  udpPort: 51_820,
  listen: "[::]:4100",
  logLevel: "info",
  foreground: false,
};
const progress: readonly LaunchProgress[] = [
  { type: "step", text: "is a member", ms: 3 },
  { type: "ready", network: "home", socket: "/run/mesh/home.sock", ms: 400 },
  { type: "failed", error: { code: "state/missing", message: "No.", hint: "Do.", details: { directory: "/x" } } },
];
const error: ErrorView = { error: { code: "peer/unknown", message: "No.", hint: "Do.", details: { wanted: "x", tried: [1, null] } } };

const status = statusShape(calls.status.response, "");
const [alive] = status.peers;
if (alive === undefined) throw new Error("a peer is needed");
const stamp = { version: 1, at: 5 } as const;
const named = { name: "b", id: "bb" } as const;
const events: readonly EventView[] = [
  { ...stamp, type: "status", status },
  { ...stamp, type: "self", self: status.self },
  { ...stamp, type: "tunnel", tunnel: status.tunnel },
  { ...stamp, type: "control", control: status.control },
  { ...stamp, type: "peer-changed", peer: alive },
  { ...stamp, ...named, type: "peer-state", from: "alive", to: "suspect" },
  { ...stamp, ...named, type: "peer-path", from: "direct", to: "no answer for 4 s", endpoint: "192.0.2.2:5000" },
  { ...stamp, ...named, type: "peer-link", linked: true },
  { ...stamp, type: "health-added", health: { level: "warning", text: "No.", hint: "Do." } },
];

const changes: readonly HostChange[] = [
  { kind: "link", device: "mesh0", type: "bridge", mac: "02:00:00:00:00:01" },
  { kind: "address", device: "mesh0", index: 7, address: "10.77.2.1/32" },
  { kind: "route", device: "mesh0", index: 7, prefix: "10.77.0.0/16", source: "10.77.2.1", table: 254 },
  { kind: "rule", family: 4, priority: 100, selector: "iif mesh0", table: 100 },
  { kind: "sysctl", path: "net/ipv6/conf/mesh0/disable_ipv6", before: "1", after: "0", index: 7 },
  { kind: "nft-table", table: "mesh-home", index: 7 },
];

fuzz(valueKind, [
  {
    name: "change in the journal of the host",
    samples: changes,
    read: (value) => {
      const change = parseHostChange(value);
      // It becomes the words of one command, and of no other.
      if (change !== undefined) assert.match(undoByHand(change), /^(?:ip|sysctl -w|nft delete table inet) [^\n;&|`$<>]+$/);
      return change;
    },
  },
  shapeTarget("order for an agent", launchOrder, [order, { command: "up", stateRoot: "/s", network: "home" }]),
  shapeTarget("progress of a start", launchProgress, progress),
  shapeTarget("error", errorShape, [error]),
  shapeTarget("event", eventShape, events),
  ...(Object.entries(api) as readonly (readonly [string, ApiCall<unknown, unknown>])[]).flatMap(([name, call]) => {
    const { request, response } = calls[name as keyof typeof api];
    return [shapeTarget(`request of ${name}`, call.request, [request]), shapeTarget(`answer of ${name}`, call.response, [response])];
  }),
]);

function shapeTarget<T>(name: string, shape: Shape<T>, samples: readonly unknown[]): FuzzTarget<unknown> {
  return {
    name,
    samples,
    // Read twice: what a shape has read fits it as it is.
    read: (value) => {
      const read = shape(value, "");
      return read === undefined ? undefined : shape(read, "");
    },
    refuses: (thrown) => thrown instanceof ShapeError,
  };
}
