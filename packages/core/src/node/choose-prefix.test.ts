import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "../address/ip.ts";
import { formatPrefix, parsePrefix, prefixesOverlap } from "../address/prefix.ts";
import { type ErrorCode, MeshError } from "../errors.ts";
import type { HostView } from "../ports/host-network.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { chosenPrefix, freePrefix, hostCollision } from "./choose-prefix.ts";

const host = (routes: readonly string[], addresses: readonly (readonly [string, number])[] = []): HostView => ({
  routes: routes.map((text) => ({ device: "eth0", prefix: parsePrefix(text) ?? assert.fail(text) })),
  addresses: addresses.map(([ip, prefixLength]) => ({ device: "eth1", ip: ip as Ip, prefixLength })),
});
const HOME = host(["0.0.0.0/0", "::/0", "192.168.1.0/24", "fd00::/8"]);

function codeOf(act: () => unknown): ErrorCode | undefined {
  try {
    act();
  } catch (error) {
    return error instanceof MeshError && error.hint !== undefined ? error.code : assert.fail(String(error));
  }
  return undefined;
}

test("a prefix that a person chose is taken as it is, with /24 for nodes unless they say otherwise", () => {
  assert.deepEqual(chosenPrefix("10.64.0.0/10", undefined, HOME), { prefix4: parsePrefix("10.64.0.0/10"), nodeLength: 24 });
  assert.equal(chosenPrefix("10.77.0.0/16", 20, HOME).nodeLength, 20);
  for (const cidr of ["10.0.0.0/8", "172.16.0.0/12", "100.64.0.0/10", "192.168.128.0/17"])
    assert.equal(formatPrefix(chosenPrefix(cidr, undefined, host([])).prefix4), cidr);
});

test("a prefix that cannot be is told with what to do instead", () => {
  for (const cidr of [
    "",
    "10.77.0.0",
    "10.77.0.1/16",
    "fd00::/48",
    "home",
    "127.0.0.0/16",
    "0.0.0.0/16",
    "224.0.0.0/16",
    "169.254.0.0/16",
    "8.8.0.0/16",
    "172.0.0.0/8",
    "100.0.0.0/9",
  ])
    assert.equal(
      codeOf(() => chosenPrefix(cidr, undefined, HOME)),
      "config/invalid",
      cidr,
    );
  for (const [cidr, bits] of [
    ["10.77.0.0/16", 17],
    ["10.77.0.0/16", 31],
    ["10.0.0.0/8", 30],
    ["10.77.0.0/24", undefined],
    ["0.0.0.0/0", 8],
  ] as const)
    assert.equal(
      codeOf(() => chosenPrefix(cidr, bits, HOME)),
      "config/invalid",
      cidr,
    );
  assert.equal(
    codeOf(() => chosenPrefix("192.168.0.0/16", undefined, HOME)),
    "host/prefix-taken",
  );
});

test("what a prefix collides with is told by device; default routes collide with nothing", () => {
  const prefix = parsePrefix("10.77.0.0/16") ?? assert.fail();
  assert.equal(hostCollision(prefix, HOME), undefined);
  assert.equal(hostCollision(prefix, host(["10.0.0.0/8"])), "route 10.0.0.0/8 dev eth0");
  assert.equal(hostCollision(prefix, host(["10.77.3.4/32"])), "route 10.77.3.4/32 dev eth0");
  assert.equal(hostCollision(prefix, host([], [["10.77.9.9", 24]])), "address 10.77.9.9/24 dev eth1");
  assert.equal(hostCollision(prefix, host([], [["10.76.9.9", 24]])), undefined);
});

for (let seed = 1; seed <= 10; seed++) {
  test(`seed ${seed}: a free /16 of 10.64.0.0/10 is found while there is one`, () => {
    const random = new SeededRandom(seed);
    const free = 64 + random.below(64);
    const taken = Array.from({ length: 64 }, (_, i) => 64 + i).filter((second) => second !== free);
    const crowded = host(taken.map((second) => `10.${second}.${random.below(256)}.0/24`));
    assert.equal(formatPrefix(freePrefix(random, crowded).prefix4), `10.${free}.0.0/16`);
    const { prefix4, nodeLength } = freePrefix(random, HOME);
    assert.ok(prefixesOverlap(prefix4, parsePrefix("10.64.0.0/10") ?? assert.fail()) && prefix4.length === 16 && nodeLength === 24);
    assert.equal(
      codeOf(() => freePrefix(random, host(["10.0.0.0/8"]))),
      "host/prefix-taken",
    );
  });
}
