import assert from "node:assert/strict";
import { test } from "node:test";
import { address4, address6 } from "../address/address-plan.ts";
import { ipBytes } from "../address/ip.ts";
import { formatPrefix } from "../address/prefix.ts";
import { AllowedIps } from "../engine/allowed-ips.ts";
import { idOf, SampleNetwork } from "../membership/sample-network-fixture.ts";
import { compileTable, prefixesOf } from "./compile-table.ts";

const network = new SampleNetwork();
const book = network.book();
book.merge([
  network.certificate("a", { number: 1 }),
  network.certificate("b", { number: 2 }),
  network.certificate("winner", { number: 3, generation: 1 }),
  network.certificate("loser", { number: 3 }),
]);
const members = [...book.membership.members.values()];
const slots = new Map([
  [idOf("b"), 7],
  [idOf("winner"), 0],
  [idOf("loser"), 4],
]);

test("everyone with a slot is a peer; each is routed its own two prefixes, the loser of a number none", () => {
  const table = compileTable(network.plan, members, (node) => slots.get(node));
  assert.deepEqual(table.peers.toSorted(), [0, 4, 7]);
  const routes = table.routes.map(({ prefix, slot }) => `${formatPrefix(prefix)} ${slot}`);
  const six = formatPrefix(network.plan.prefix6).replace("::/48", "");
  assert.deepEqual(routes.toSorted(), [`10.77.2.0/24 7`, `10.77.3.0/24 0`, `${six}:2::/64 7`, `${six}:3::/64 0`].toSorted());
});

test("no prefix is routed to two, and every member's addresses lead to it", () => {
  const table = new AllowedIps();
  const { routes } = compileTable(network.plan, members, (node) => slots.get(node));
  assert.equal(new Set(routes.map(({ prefix }) => formatPrefix(prefix))).size, routes.length);
  for (const { prefix, slot } of routes) table.insert(prefix, slot);
  for (const [number, slot] of [
    [1, undefined],
    [2, 7],
    [3, 0],
    [4, undefined],
  ] as const)
    assert.deepEqual(
      [address4(network.plan, number), address6(network.plan, number)].map((ip) => table.find(ipBytes(ip))),
      [slot, slot],
    );
});

test("a table of nobody is empty", () => {
  assert.deepEqual(
    compileTable(network.plan, [], () => 1),
    { peers: [], roaming: [], routes: [] },
  );
  assert.deepEqual(members.map((member) => prefixesOf(network.plan, member).length).toSorted(), [0, 2, 2, 2]);
});
