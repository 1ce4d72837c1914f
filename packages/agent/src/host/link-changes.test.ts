import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Ip, type LinkPlan, type Prefix, parseIp, parsePrefix } from "@mesh/core/ports";
import { linkCommands, linkDifference } from "./link-changes.ts";
import type { LinkState } from "./link-state.ts";

const linkChanges = (state: LinkState, plan: LinkPlan): readonly string[] => linkCommands(linkDifference(state, plan));

const ip = (text: string): Ip => parseIp(text) ?? assert.fail(text);
const prefix = (text: string): Prefix => parsePrefix(text) ?? assert.fail(text);

const FRESH: LinkState = { index: 7, isUp: false, mtu: 1500, isAddressGenerationOff: false, addresses: [], routes: [] };
const PLAN: LinkPlan = {
  device: "mesh0",
  mtu: 1420,
  addresses: [ip("10.77.2.1"), ip("fd00:77::1")],
  routes: [prefix("10.77.0.0/16"), prefix("fd00:77::/48")],
};
const DRESSED: LinkState = {
  index: 7,
  isUp: true,
  mtu: 1420,
  isAddressGenerationOff: true,
  addresses: [ip("fd00:77::1"), ip("10.77.2.1")],
  routes: [
    { prefix: prefix("fd00:77::/48"), source: ip("fd00:77::1") },
    { prefix: prefix("10.77.0.0/16"), source: ip("10.77.2.1") },
  ],
};

describe("linkDifference", () => {
  test("dresses a fresh device: settings, addresses, then routes that name them", () => {
    assert.deepEqual(linkChanges(FRESH, PLAN), [
      "link set dev mesh0 addrgenmode none",
      "link set dev mesh0 mtu 1420 up",
      "address add 10.77.2.1/32 dev mesh0 noprefixroute",
      "address add fd00:77::1/128 dev mesh0 noprefixroute nodad",
      "route add 10.77.0.0/16 dev mesh0 proto 109 src 10.77.2.1",
      "route add fd00:77::/48 dev mesh0 proto 109 src fd00:77::1",
    ]);
  });

  test("has nothing to do on a device that is as planned, in whatever order", () => {
    assert.deepEqual(linkChanges(DRESSED, PLAN), []);
  });

  test("a new address moves the routes that name the old one, routes first", () => {
    assert.deepEqual(linkChanges(DRESSED, { ...PLAN, addresses: [ip("10.77.9.1"), ip("fd00:77::1")] }), [
      "route del 10.77.0.0/16 dev mesh0 proto 109",
      "address del 10.77.2.1/32 dev mesh0",
      "address add 10.77.9.1/32 dev mesh0 noprefixroute",
      "route add 10.77.0.0/16 dev mesh0 proto 109 src 10.77.9.1",
    ]);
  });

  test("changes only the MTU when only that differs", () => {
    assert.deepEqual(linkChanges(DRESSED, { ...PLAN, mtu: 1280 }), ["link set dev mesh0 mtu 1280"]);
  });

  test("a route of a family without an address has no source", () => {
    const plan = { ...PLAN, addresses: [], routes: [prefix("10.77.0.0/16")] };
    assert.deepEqual(linkChanges({ ...FRESH, isUp: true, mtu: 1420, isAddressGenerationOff: true }, plan), [
      "route add 10.77.0.0/16 dev mesh0 proto 109",
    ]);
  });

  test("an empty plan takes everything of ours away", () => {
    assert.deepEqual(linkChanges(DRESSED, { ...PLAN, addresses: [], routes: [] }), [
      "route del fd00:77::/48 dev mesh0 proto 109",
      "route del 10.77.0.0/16 dev mesh0 proto 109",
      "address del fd00:77::1/128 dev mesh0",
      "address del 10.77.2.1/32 dev mesh0",
    ]);
  });

  test("what is made and what goes is told for the journal, with the device's number", () => {
    const { gone, fresh } = linkDifference(DRESSED, { ...PLAN, addresses: [ip("10.77.9.1"), ip("fd00:77::1")] });
    const on = { device: "mesh0", index: 7 };
    assert.deepEqual(gone, [
      { kind: "route", ...on, prefix: "10.77.0.0/16", source: "10.77.2.1", table: 254 },
      { kind: "address", ...on, address: "10.77.2.1/32" },
    ]);
    assert.deepEqual(fresh, [
      { kind: "address", ...on, address: "10.77.9.1/32" },
      { kind: "route", ...on, prefix: "10.77.0.0/16", source: "10.77.9.1", table: 254 },
    ]);
  });
});
