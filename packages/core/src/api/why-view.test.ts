import assert from "node:assert/strict";
import { test } from "node:test";
import { type NetcheckView, netcheckShape } from "./netcheck-view.ts";
import { type WhyView, whyShape } from "./why-view.ts";

const why: WhyView = {
  version: 1,
  target: "10.77.3.0/24",
  owner: {
    name: "b",
    id: "bb",
    number: 3,
    role: "member",
    address4: "10.77.3.1",
    address6: "fd00:0:0:3::1",
    prefixes: ["10.77.3.0/24"],
    routed: true,
    certificate: { issuer: "a", issuerId: "aa", serial: 7, generation: 0, assignedAt: 1 },
  },
  path: { kind: "relay", state: "alive", text: "relayed by c", reason: "r", hint: "Do.", rttMs: 1, rttAt: 2 },
  candidates: [
    { relay: "c", origin: "its-home", fate: "in-use", askedAt: 1, answeredAt: 2, rttMs: 1 },
    { endpoint: "192.0.2.2:5000", origin: "published", fate: "unanswered", askedAt: 3 },
    { endpoint: "127.0.0.1:5000", origin: "published", fate: "refused", reason: "No." },
  ],
  here: { mapping: "endpoint-dependent", reachable: false, homes: ["c"] },
  there: { reachable: false, relays: false, homes: ["c"], stopped: false },
};
const relay = { name: "b", id: "bb", answers: true, path: "direct 192.0.2.2:5000", rttMs: 1, answeredAt: 5, everyMs: 23_000 };
const netcheck: NetcheckView = {
  version: 1,
  udp: { state: "works", answeredBy: 1, answeredAt: 5 },
  mapping: "endpoint-independent",
  seen: [{ endpoint: "192.0.2.9:9", by: ["b"], at: 4 }],
  reachable: false,
  ipv6: { addresses: ["2001:db8::1"], works: true },
  homes: [relay],
  relays: [relay, { name: "c", id: "cc", answers: false }],
  portMapping: { protocol: "pcp", endpoint: "192.0.2.9:9" },
  hairpin: true,
  health: [{ level: "warning", text: "No." }],
};

for (const [name, shape, view] of [
  ["why", whyShape, why],
  ["netcheck", netcheckShape, netcheck],
] as const) {
  test(`${name}: it comes back from its JSON, and what a newer agent adds is left out`, () => {
    assert.deepEqual(shape(JSON.parse(JSON.stringify(view)), ""), view);
    assert.deepEqual(shape({ ...view, more: 1 }, ""), view);
  });

  test(`${name}: every key it needs is missed when it is not there, and another version is refused`, () => {
    const optional = ["there", "portMapping", "hairpin"];
    for (const key of Object.keys(view))
      if (!optional.includes(key)) assert.throws(() => shape({ ...view, [key]: undefined }, ""), new RegExp(key));
    assert.throws(() => shape({ ...view, version: 2 }, ""), /version must be 1/);
  });
}

test("fates, origins and kinds of NAT are the ones that are known", () => {
  const [first] = why.candidates;
  assert.throws(() => whyShape({ ...why, candidates: [{ ...first, fate: "lost" }] }, ""), /candidates\[0\]\.fate/);
  assert.throws(() => whyShape({ ...why, candidates: [{ ...first, origin: "guess" }] }, ""), /candidates\[0\]\.origin/);
  assert.throws(() => whyShape({ ...why, here: { ...why.here, mapping: "symmetric" } }, ""), /here\.mapping/);
  assert.throws(() => netcheckShape({ ...netcheck, mapping: "symmetric" }, ""), /mapping must be one of/);
});
