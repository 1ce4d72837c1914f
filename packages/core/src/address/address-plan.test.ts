import assert from "node:assert/strict";
import { test } from "node:test";
import { address4, address6, addressPlan, isMeshAddress, isNodeLength, subnet4, subnet6 } from "./address-plan.ts";
import type { Ip } from "./ip.ts";
import { formatPrefix, parsePrefix, prefixContains, prefixesOverlap } from "./prefix.ts";

const id = Uint8Array.from({ length: 32 }, (_, i) => 0xa0 + i);

function plan(cidr: string, nodeLength: number): ReturnType<typeof addressPlan> {
  const prefix = parsePrefix(cidr);
  assert.ok(prefix !== undefined && isNodeLength(prefix.length, nodeLength));
  return addressPlan(prefix, nodeLength, id);
}

const corners: readonly (readonly [cidr: string, nodeLength: number, number: number, subnet: string, node: string, subnet6: string])[] = [
  ["10.77.0.0/16", 24, 2, "10.77.2.0/24", "10.77.2.1", "fda0:a1a2:a3a4:2::/64"],
  ["10.77.0.0/16", 24, 255, "10.77.255.0/24", "10.77.255.1", "fda0:a1a2:a3a4:ff::/64"],
  ["10.0.0.0/8", 24, 1, "10.0.1.0/24", "10.0.1.1", "fda0:a1a2:a3a4:1::/64"],
  ["10.0.0.0/8", 24, 65_535, "10.255.255.0/24", "10.255.255.1", "fda0:a1a2:a3a4:ffff::/64"],
  ["223.0.0.0/8", 24, 65_535, "223.255.255.0/24", "223.255.255.1", "fda0:a1a2:a3a4:ffff::/64"],
  ["10.64.0.0/10", 24, 16_383, "10.127.255.0/24", "10.127.255.1", "fda0:a1a2:a3a4:3fff::/64"],
  ["192.168.255.0/24", 30, 1, "192.168.255.4/30", "192.168.255.5", "fda0:a1a2:a3a4:1::/64"],
  ["192.168.255.0/24", 30, 63, "192.168.255.252/30", "192.168.255.253", "fda0:a1a2:a3a4:3f::/64"],
  ["10.9.8.240/28", 30, 3, "10.9.8.252/30", "10.9.8.253", "fda0:a1a2:a3a4:3::/64"],
  ["172.16.0.0/12", 28, 65_535, "172.31.255.240/28", "172.31.255.241", "fda0:a1a2:a3a4:ffff::/64"],
];
for (const [cidr, nodeLength, number, subnet, node, six] of corners) {
  test(`number ${number} of ${cidr} in /${nodeLength} is ${subnet}`, () => {
    const it = plan(cidr, nodeLength);
    assert.ok(number <= it.maxNumber);
    assert.equal(formatPrefix(subnet4(it, number)), subnet);
    assert.equal(address4(it, number), node);
    assert.equal(formatPrefix(subnet6(it, number)), six);
    assert.equal(address6(it, number), six.replace("/64", "1"));
  });
}

test("the highest number is the last subnet that fits", () => {
  assert.deepEqual(
    [plan("10.0.0.0/8", 24), plan("10.64.0.0/10", 24), plan("10.9.8.240/28", 30)].map(({ maxNumber }) => maxNumber),
    [65_535, 16_383, 3],
  );
});

test("a network has at least three nodes and at most 65,535, and a node at least two addresses", () => {
  assert.ok(isNodeLength(8, 24) && isNodeLength(14, 30) && isNodeLength(28, 30) && isNodeLength(16, 18));
  for (const [prefix, node] of [
    [8, 25],
    [7, 20],
    [16, 17],
    [16, 16],
    [16, 15],
    [29, 30],
    [24, 31],
    [30, 32],
    [0, 8],
  ])
    assert.equal(isNodeLength(prefix ?? 0, node ?? 0), false, `/${prefix} in /${node}`);
});

test("no two numbers share an address, none leaves the mesh", () => {
  for (const it of [plan("10.9.8.0/24", 30), plan("10.77.0.0/16", 20)]) {
    for (let a = 0; a <= it.maxNumber; a++) {
      assert.ok(prefixContains(it.prefix4, subnet4(it, a).ip) && prefixContains(it.prefix6, subnet6(it, a).ip));
      assert.ok(prefixContains(subnet4(it, a), address4(it, a)) && prefixContains(subnet6(it, a), address6(it, a)));
      for (let b = 0; b < a; b++)
        assert.ok(!prefixesOverlap(subnet4(it, a), subnet4(it, b)) && !prefixesOverlap(subnet6(it, a), subnet6(it, b)));
    }
  }
});

test("the mesh is its two prefixes and nothing beside them", () => {
  const it = plan("10.77.0.0/16", 24);
  assert.equal(formatPrefix(it.prefix6), "fda0:a1a2:a3a4::/48");
  for (const ip of ["10.77.0.0", "10.77.255.255", "fda0:a1a2:a3a4::", "fda0:a1a2:a3a4:ffff:ffff:ffff:ffff:ffff"])
    assert.ok(isMeshAddress(it, ip as Ip), ip);
  for (const ip of ["10.76.255.255", "10.78.0.0", "fda0:a1a2:a3a3:ffff::", "fda0:a1a2:a3a5::", "::1", "0.0.0.0"])
    assert.equal(isMeshAddress(it, ip as Ip), false, ip);
});
