import assert from "node:assert/strict";
import { test } from "node:test";
import { addressPlan } from "../address/address-plan.ts";
import { parseEndpoint } from "../address/endpoint.ts";
import { parsePrefix } from "../address/prefix.ts";
import { type NodeId, shortId } from "../ids/node-id.ts";
import { type Candidate, direct, formatCandidate, isUsableCandidate, relayed, sameCandidate } from "./candidate.ts";

const plan = addressPlan(parsePrefix("10.77.0.0/16") ?? assert.fail(), 24, new Uint8Array(32).fill(0xab));

function isUsable(text: string): boolean {
  return isUsableCandidate(plan, parseEndpoint(text) ?? assert.fail(text));
}

test("public, private and carrier addresses of both families may be tried", () => {
  for (const text of [
    "192.0.2.1:51820",
    "10.78.0.1:1024",
    "192.168.1.1:65535",
    "100.64.0.1:443",
    "223.255.255.255:5000",
    "[2001:db8::1]:443",
    "[fd00::1]:1024",
    "[fec0::1]:1024",
  ])
    assert.ok(isUsable(text), text);
});

test("system services, ourselves, groups, links and the mesh itself are not", () => {
  const refused =
    "192.0.2.1:1023|192.0.2.1:53|192.0.2.1:1|0.0.0.0:5000|0.1.2.3:5000|127.0.0.1:5000|127.255.0.1:5000|169.254.1.1:5000|224.0.0.1:5000|239.1.1.1:5000|255.255.255.255:5000|240.0.0.1:5000|10.77.0.1:5000|10.77.255.1:5000";
  const refused6 =
    "[::]:5000|[::1]:5000|[ff02::1]:5000|[ff0e::1]:5000|[fe80::1]:5000|[febf::1]:5000|[fdab:abab:abab:2::1]:5000|[::ffff:127.0.0.1]:5000|[::ffff:10.77.0.1]:5000|[2001:db8::1]:22";
  for (const text of [...refused.split("|"), ...refused6.split("|")]) assert.equal(isUsable(text), false, text);
});

test("candidates are one when they name one endpoint, or one relay", () => {
  const endpoint = parseEndpoint("192.0.2.1:51820") ?? assert.fail();
  const [one, two] = ["1".repeat(64), "2".repeat(64)] as NodeId[];
  const candidates: readonly Candidate[] = [
    direct(endpoint),
    direct({ ...endpoint, port: 51_821 }),
    direct(parseEndpoint("192.0.2.2:51820") ?? assert.fail()),
    relayed(one ?? assert.fail()),
    relayed(two ?? assert.fail()),
  ];
  for (const a of candidates)
    for (const b of candidates) assert.equal(sameCandidate(a, structuredClone(b)), a === b, `${formatCandidate(a)} ${formatCandidate(b)}`);
  for (const candidate of candidates)
    assert.deepEqual([sameCandidate(candidate, undefined), sameCandidate(undefined, candidate)], [false, false]);
});

test("a candidate is written by its endpoint, or by who relays", () => {
  const relay = "3".repeat(64) as NodeId;
  assert.equal(formatCandidate(direct(parseEndpoint("[2001:db8::1]:443") ?? assert.fail())), "[2001:db8::1]:443");
  assert.equal(formatCandidate(relayed(relay)), `by ${shortId(relay)}`);
});
