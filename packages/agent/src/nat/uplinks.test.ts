import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostAddress, HostRoute, HostView, Ip } from "@mesh/core/ports";
import { parsePrefix } from "@mesh/core/ports";
import { gatewayAddress, uplinksOf } from "./uplinks.ts";

function address(text: string, device = "eth0"): HostAddress {
  const [ip = "", length] = text.split("/");
  return { device, ip: ip as Ip, prefixLength: Number(length) };
}

function route(gateway: string | undefined, change: Partial<HostRoute> = {}): HostRoute {
  const prefix = parsePrefix(gateway?.includes(":") === true ? "::/0" : "0.0.0.0/0") ?? assert.fail();
  return { device: "eth0", prefix, ...(gateway !== undefined && { gateway: gateway as Ip }), ...change };
}

const asked = (view: HostView): readonly string[] =>
  uplinksOf(view).map((uplink) => `${gatewayAddress(uplink)} from ${uplink.source} on ${uplink.device}`);

test("the router of the default route is asked, from the address that is in its network", () => {
  const addresses = [address("10.9.9.9/24"), address("192.168.1.10/24"), address("172.17.0.1/16", "docker0")];
  assert.deepEqual(asked({ addresses, routes: [route("192.168.1.1")] }), ["192.168.1.1 from 192.168.1.10 on eth0"]);
  assert.deepEqual(asked({ addresses: [address("192.168.1.10/32")], routes: [route("169.254.0.1")] }), [
    "169.254.0.1 from 192.168.1.10 on eth0",
  ]);
});

test("of several default routes only the one that counts is asked", () => {
  const addresses = [address("192.168.1.10/24"), address("10.0.0.5/24", "wlan0")];
  const routes = [route("192.168.1.1", { metric: 600 }), route("10.0.0.1", { device: "wlan0", metric: 100 })];
  assert.deepEqual(asked({ addresses, routes }), ["10.0.0.1 from 10.0.0.5 on wlan0"]);
});

test("nobody is asked when this host's own address is public, or a carrier's router is", () => {
  assert.deepEqual(asked({ addresses: [address("198.51.100.7/24")], routes: [route("198.51.100.1")] }), []);
  assert.deepEqual(asked({ addresses: [address("198.51.100.7/24"), address("192.168.1.10/24")], routes: [route("192.168.1.1")] }), []);
  assert.deepEqual(asked({ addresses: [address("192.168.1.10/24")], routes: [route("198.51.100.1")] }), []);
});

test("routers of other routes, a route without a router, and a link without an address are no uplinks", () => {
  const addresses = [address("192.168.1.10/24")];
  const inner = { ...route("192.168.1.1"), prefix: parsePrefix("10.0.0.0/8") ?? assert.fail() };
  assert.deepEqual(asked({ addresses, routes: [inner] }), []);
  assert.deepEqual(asked({ addresses, routes: [route(undefined)] }), []);
  assert.deepEqual(asked({ addresses: [address("192.168.1.10/24", "wlan0")], routes: [route("192.168.1.1")] }), []);
  assert.deepEqual(asked({ addresses: [], routes: [route("192.168.1.1")] }), []);
});

test("for IPv6 each of two public addresses gets its own hole, asked for at the link-local router on that link", () => {
  const addresses = ["fd00::5/64", "2001:db8::5/64", "2001:db8::6/64", "2001:db8::7/64"].map((text) => address(text));
  assert.deepEqual(asked({ addresses, routes: [route("fe80::1")] }), [
    "fe80::1%eth0 from 2001:db8::5 on eth0",
    "fe80::1%eth0 from 2001:db8::6 on eth0",
  ]);
  assert.deepEqual(asked({ addresses, routes: [route("fd00::1")] }).length, 2);
  assert.deepEqual(asked({ addresses, routes: [route("2001:db8::1")] }), []);
});

test("a public address on another link says nothing of this one", () => {
  const addresses = [address("192.168.1.10/24"), address("198.51.100.7/24", "eth1")];
  assert.deepEqual(asked({ addresses, routes: [route("192.168.1.1")] }), ["192.168.1.1 from 192.168.1.10 on eth0"]);
});

test("a public host asks nobody, by either family; one with public IPv6 alone does", () => {
  const addresses = [address("198.51.100.7/24"), address("2001:db8::5/64")];
  assert.deepEqual(asked({ addresses, routes: [route("198.51.100.1"), route("fe80::1")] }), []);
  assert.deepEqual(asked({ addresses: addresses.slice(1), routes: [route("fe80::1")] }), ["fe80::1%eth0 from 2001:db8::5 on eth0"]);
});

test("a host with IPv4 alone asks by IPv4 alone", () => {
  const addresses = [address("192.168.1.10/24"), address("fe80::10/64")];
  assert.deepEqual(asked({ addresses, routes: [route("192.168.1.1"), route("fe80::1")] }), ["192.168.1.1 from 192.168.1.10 on eth0"]);
});
