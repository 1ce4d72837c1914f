import assert from "node:assert/strict";
import { test } from "node:test";
import { type LaunchOrder, type LaunchProgress, launchOrder, launchProgress } from "./launch-order.ts";

const orders: readonly LaunchOrder[] = [
  { command: "up", stateRoot: "/var/lib/mesh", network: "home" },
  { command: "join", stateRoot: "/s", invite: "mesh1abc", nodeName: "b", listen: "[::]:443", logLevel: "debug" },
  {
    command: "init",
    stateRoot: "/s",
    network: "home",
    cidr: "10.77.0.0/16",
    nodeBits: 24,
    tunName: "mesh0",
    udpPort: 51_820,
    tcpRelay: 443,
  },
];
const steps: readonly LaunchProgress[] = [
  { type: "step", text: "joined", ms: 12 },
  { type: "ready", network: "home", socket: "/run/mesh/home.sock", ms: 812.5 },
  { type: "failed", error: { code: "host/not-root", message: "No.", hint: "Be root.", details: { action: "x" } } },
  { type: "failed", error: { code: "agent/failed", message: "No." } },
];

test("orders and progress come back from one JSON line", () => {
  for (const order of orders) assert.deepEqual(launchOrder(JSON.parse(JSON.stringify(order)), ""), order);
  for (const step of steps) assert.deepEqual(launchProgress(JSON.parse(JSON.stringify(step)), ""), step);
});

test("a misspelt or impossible option is an error that names it", () => {
  const wrong: readonly (readonly [object, RegExp])[] = [
    [{ command: "down" }, /command must be one of init, join, up/],
    [{ nodebits: 24 }, /nodebits/],
    [{ nodeBits: 31 }, /nodeBits must be a whole number from 10 to 30/],
    [{ network: "../etc" }, /network must be 1 to 63/],
    [{ nodeName: "Laptop" }, /nodeName must be/],
    [{ cidr: "10.77.1.0/16" }, /cidr must be an IPv4 prefix/],
    [{ tunName: "-x0" }, /tunName must be a device name/],
    [{ listen: "0.0.0.0:0" }, /listen must be an address and a port/],
    [{ udpPort: 0 }, /udpPort/],
    [{ udpPort: "51820" }, /udpPort/],
    [{ tcpRelay: 22 }, /tcpRelay must be 443/],
    [{ invite: null }, /invite must be a text/],
    [{ stateRoot: undefined }, /stateRoot must be a text/],
    [{ logLevel: "loud" }, /logLevel/],
  ];
  for (const [change, message] of wrong) assert.throws(() => launchOrder({ command: "up", stateRoot: "/s", ...change }, ""), message);
});

test("progress of a newer agent may say more, but not something else", () => {
  assert.deepEqual(launchProgress({ type: "step", text: "t", ms: 1, more: true }, ""), { type: "step", text: "t", ms: 1 });
  for (const value of [{ type: "other" }, { type: "ready", ms: 1 }, { type: "failed", error: "no" }, null, "ready"])
    assert.throws(() => launchProgress(value, ""));
});
