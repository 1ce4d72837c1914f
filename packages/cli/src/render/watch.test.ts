import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventView, PeerView, StatusView } from "@mesh/core/api";
import { paintFor } from "./paint.ts";
import { renderStatus } from "./status.ts";
import type { Style } from "./style.ts";
import { renderEvents, renderScreen } from "./watch.ts";

Object.assign(process.env, { TZ: "UTC" });

const NOW = Date.UTC(2026, 10, 23, 9, 30, 5);
const style: Style = { now: NOW, paint: paintFor(false) };
const addresses = { address4: "10.77.1.1", address6: "fd4e::1", subnet4: "10.77.1.0/24", subnet6: "fd4e::/64" };
const status: StatusView = {
  version: 1,
  network: { name: "home", id: "n", prefix4: "10.77.0.0/16", prefix6: "fd4e::/48" },
  self: { name: "a", id: "aa", number: 1, role: "admin", holdsRoot: true, seenAs: [], startedAt: NOW, ...addresses },
  tunnel: { device: "mesh0", mtu: 1420, udpPort: 1, backend: "native" },
  control: { listen: [], links: 0 },
  peers: [],
  health: [],
  counters: {},
};
const peer: PeerView = {
  name: "b",
  id: "bb",
  number: 2,
  role: "member",
  state: "alive",
  path: "direct 192.0.2.1:5",
  receivedBytes: 0,
  sentBytes: 0,
  linked: true,
  ...addresses,
};

test("the screen is the status, drawn over what was there and cut to the terminal", () => {
  const text = renderStatus(status, style);
  const lines = text.trimEnd().split("\n");
  assert.equal(renderScreen(status, undefined, style), `\x1b[H${lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`);
  assert.equal(renderScreen(status, lines.length + 1, style), renderScreen(status, undefined, style));
  const cut = renderScreen(status, lines.length, style).split("\n");
  assert.equal(cut.length, lines.length);
  assert.match(cut.at(-2) ?? "", /and 2 more lines/);
});

test("each change is a line with its time", () => {
  const stamp = { version: 1, at: NOW } as const;
  const b = { name: "b", id: "bb" } as const;
  const { address4: _, ...self } = status.self;
  const events: readonly (readonly [EventView, string])[] = [
    [{ ...stamp, type: "self", self: status.self }, "this node: a, admin, 10.77.1.1, fd4e::1"],
    [{ ...stamp, type: "self", self }, "this node: a, admin, fd4e::1"],
    [{ ...stamp, type: "tunnel", tunnel: status.tunnel }, "tunnel: mesh0, mtu 1420, udp 1, engine native"],
    [{ ...stamp, type: "control", control: { listen: ["192.0.2.1:4"], links: 2 } }, "control: 192.0.2.1:4; links: 2"],
    [{ ...stamp, type: "peer-added", peer }, "b: new, 10.77.1.1, alive, direct 192.0.2.1:5"],
    [{ ...stamp, type: "peer-gone", ...b }, "b: gone"],
    [{ ...stamp, type: "peer-changed", peer: { ...peer, conflict: true } }, "b: in conflict, member, 10.77.1.1"],
    [{ ...stamp, type: "peer-changed", peer }, "b: changed, member, 10.77.1.1"],
    [{ ...stamp, type: "peer-state", ...b, from: "alive", to: "suspect" }, "b: alive → suspect"],
    [{ ...stamp, type: "peer-path", ...b, from: "x", to: "no answer for 1 s" }, "b: no answer for 1 s"],
    [{ ...stamp, type: "peer-session", ...b, sessionAt: 5 }, "b: new session keys"],
    [{ ...stamp, type: "peer-session", ...b }, "b: session ended"],
    [{ ...stamp, type: "peer-link", ...b, linked: false }, "b: control link down"],
    [{ ...stamp, type: "health-added", health: { level: "error", text: "no engine" } }, "health: no engine"],
    [{ ...stamp, type: "health-cleared", health: { level: "warning", text: "no link" } }, "health: no longer: no link"],
  ];
  for (const [event, line] of events) assert.equal(renderEvents([event], style), `09:30:05  ${line}\n`);
  assert.equal(renderEvents([{ ...stamp, type: "status", status }], style), `${renderStatus(status, style)}\n`);
});
