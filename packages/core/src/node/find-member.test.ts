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
])
  test(`"${target}" is nobody, or this node itself`, () => assert.throws(() => findMember(target, among), { code: "peer/unknown" }));
