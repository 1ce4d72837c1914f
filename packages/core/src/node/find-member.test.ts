import assert from "node:assert/strict";
import { test } from "node:test";
import { address4, address6 } from "../address/address-plan.ts";
import { type NodeId, nodeId } from "../ids/node-id.ts";
import { SampleNetwork } from "../membership/sample-network-fixture.ts";
import { findMember } from "./find-member.ts";

const { plan } = new SampleNetwork();
const member = (name: string, number: number): { id: NodeId; name: string; certificate: { number: number } } => ({
  id: nodeId(new Uint8Array(32).fill(number)),
  name,
  certificate: { number },
});
const [self, nas] = [member("laptop", 1), member("nas", 2)];
const among = { members: new Map([self, nas].map((one) => [one.id, one])), plan, self: self.id };
const [v4, v6] = [address4(plan, 2), address6(plan, 2)];

for (const target of [
  "nas",
  "NAS",
  nas.id,
  nas.id.slice(0, 8),
  v4,
  v4.replace(/1$/, "77"),
  v6,
  v6.toUpperCase(),
  v6.replace("::", ":0:0:0:"),
  "10.77.2.0/24",
  "10.77.2.128/25",
  "10.77.2.0/23",
  `${v6.replace(/1$/, "")}/64`,
])
  test(`${target} is found`, () => assert.equal(findMember(target, among), nas));

for (const target of [
  "",
  "na",
  "nas2",
  nas.id.slice(0, 7),
  "laptop",
  self.id,
  address4(plan, 1),
  address4(plan, 3),
  "192.0.2.1",
  "2001:db8::1",
  "10.77.1.0/24",
  "10.77.3.0/24",
  "10.77.2.1/24",
  "192.0.2.0/24",
])
  test(`"${target}" is nobody, or this node itself`, () => assert.throws(() => findMember(target, among), { code: "peer/unknown" }));

test("a prefix of several, and an id that begins as another's, are nobody's before one of them is named", () => {
  const others = [3, 4, 5, 6].map((number) => member(`node-${number}`, number));
  const twin = { ...member("twin", 7), id: `${nas.id.slice(0, 10)}${"f".repeat(54)}` as NodeId };
  const many = { ...among, members: new Map([self, nas, twin, ...others].map((one) => [one.id, one])) };
  assert.throws(() => findMember("10.77.0.0/16", many), {
    code: "peer/ambiguous",
    message: "10.77.0.0/16 could be any of laptop, nas, twin, node-3 and 3 more.",
    hint: /^Ask for one of them by its name\./,
  });
  assert.throws(() => findMember(nas.id.slice(0, 8), many), {
    code: "peer/ambiguous",
    details: { wanted: "02020202", names: ["nas", "twin"] },
  });
  assert.equal(findMember(nas.id, many), nas);
  assert.equal(findMember(twin.id.slice(0, 11), many), twin);
});

test("a name is taken before an id that begins so", () => {
  const named = { ...member("02020202", 8) };
  assert.equal(findMember("02020202", { ...among, members: new Map([self, nas, named].map((one) => [one.id, one])) }), named);
});

test("addresses are those of the node that holds the number, and of no other that claims it", () => {
  const loser = { ...member("loser", 2), id: "ff".repeat(32) as NodeId, isConflicted: true };
  const contested = { ...among, members: new Map([loser, self, nas].map((one) => [one.id, one])) };
  assert.equal(findMember(v4, contested), nas);
  assert.equal(findMember("loser", contested), loser);
});
