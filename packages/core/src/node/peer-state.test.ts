import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { direct, relayed } from "../path/candidate.ts";
import { NEW_PATH, type PathInUse, type PathState, type PeerPath, type Round } from "../path/path-state.ts";
import { isUnheardInTunnel, pathOf, pathText, peerState } from "./peer-state.ts";

const endpoint: Endpoint = { ip: "2001:db8::1" as Ip, port: 5_000 };
const relay = idOf("relay");
const path = { candidate: direct(endpoint), rtt: 5, measuredAt: 0 };
const byRelay = { candidate: relayed(relay), rtt: 50, measuredAt: 0 };
const NOW = 10_000_000;

const use: Omit<PathInUse, "path"> = { heardAt: 0, activeAt: 0, unansweredAt: undefined, asked: 0, askedAt: 0, search: undefined };
const round: Round = { kind: "knocking", sinceAt: 0, step: 0 };
const probing: Extract<PathState, { name: "probing" }> = { name: "probing", round, failures: 0, failedAt: undefined, tentative: [] };
const failed = (failedAt: number): PathState => ({ name: "failed", failedAt, triedAt: 0, retryAt: 0, failures: 1 });

const text = (peer: Partial<PeerPath>, now = NOW): string => pathText({ ...NEW_PATH, ...peer }, { now, nameOf: () => "office" });

// State of the path, what peerState says with and without a control link, what pathText says with one address and with none.
const rows: Readonly<Record<string, readonly [state: PathState, linked: string, notLinked: string, withAddress: string, without: string]>> =
  {
    dormant: [NEW_PATH.state, "alive", "unknown", "not tried yet", "no address known yet"],
    "dormant after it was direct": [
      { name: "dormant", last: path, isLapsed: false, heardAt: 5, sinceAt: 6 },
      "alive",
      "alive",
      "direct [2001:db8::1]:5000, idle",
      "direct [2001:db8::1]:5000, idle",
    ],
    "dormant for long": [
      { name: "dormant", last: path, isLapsed: true, heardAt: NOW - 300_000, sinceAt: 6 },
      "alive",
      "alive",
      "idle, last direct [2001:db8::1]:5000 5 m ago",
      "idle, last direct [2001:db8::1]:5000 5 m ago",
    ],
    "dormant after it was relayed": [
      { name: "dormant", last: byRelay, isLapsed: false, heardAt: 5, sinceAt: 6 },
      "alive",
      "alive",
      "relayed by office, idle",
      "relayed by office, idle",
    ],
    "probing at first": [probing, "alive", "unknown", "trying 1 address", "no address known yet"],
    "probing again": [{ ...probing, failures: 2, failedAt: NOW - 90_000 }, "suspect", "failed", "no answer for 1 m", "no address known"],
    direct: [{ name: "direct", ...use, path }, "alive", "alive", "direct [2001:db8::1]:5000", "direct [2001:db8::1]:5000"],
    "relayed, in a round": [
      { name: "relayed", ...use, path: byRelay, search: { name: "round", round, failures: 0 } },
      "alive",
      "alive",
      "relayed by office, looking for a direct path",
      "relayed by office, looking for a direct path",
    ],
    "relayed, between rounds": [
      { name: "relayed", ...use, path: byRelay, search: { name: "waiting", retryAt: NOW + 40_000, failures: 3 } },
      "alive",
      "alive",
      "relayed by office, no direct path found, next try in 40 s",
      "relayed by office, no direct path found, next try in 40 s",
    ],
    suspect: [
      { name: "suspect", path, heardAt: 0, sinceAt: NOW - 2_400, step: 0 },
      "suspect",
      "suspect",
      "no answer for 2 s, last direct [2001:db8::1]:5000",
      "no answer for 2 s, last direct [2001:db8::1]:5000",
    ],
    "suspect after it was relayed": [
      { name: "suspect", path: byRelay, heardAt: 0, sinceAt: NOW - 1_000, step: 0 },
      "suspect",
      "suspect",
      "no answer for 1 s, last relayed by office",
      "no answer for 1 s, last relayed by office",
    ],
    failed: [failed(NOW - 7_200_000), "suspect", "failed", "no answer for 2 h", "no address known"],
    stopped: [{ name: "stopped" }, "left", "left", "stopped", "stopped"],
  };
for (const [what, [state, linked, notLinked, withAddress, without]] of Object.entries(rows)) {
  test(`${what}: ${linked} with a control link, else ${notLinked}; ${withAddress}`, () => {
    assert.equal(peerState({ ...NEW_PATH, state }, true), linked);
    assert.equal(peerState({ ...NEW_PATH, state }, false), notLinked);
    assert.equal(text({ state, endpoints: [endpoint] }), withAddress);
    assert.equal(text({ state }), without);
  });
}

test("two addresses are addresses, two relays relays; a peer that only relays may reach can be found", () => {
  assert.equal(text({ state: probing, endpoints: [endpoint, endpoint] }), "trying 2 addresses");
  assert.equal(text({ state: probing, endpoints: [endpoint], relays: [relay] }), "trying 1 address and 1 relay");
  assert.equal(text({ state: probing, relays: [relay, relay] }), "trying 0 addresses and 2 relays");
  assert.equal(text({ relays: [relay] }), "not tried yet");
  assert.equal(text({ state: failed(NOW - 1_000), relays: [relay] }), "no answer for 1 s");
});

test("a silence is told in its largest unit, at least one second", () => {
  const ages = [0, 999, 1_000, 59_999, 60_000, 86_400_000 * 3].map((span) => text({ state: failed(-span), endpoints: [endpoint] }, 0));
  assert.deepEqual(
    ages.map((text) => text.replace("no answer for ", "")),
    ["1 s", "1 s", "1 s", "59 s", "1 m", "3 d"],
  );
});

test("the relay is named as the view names nodes", () => {
  const state: PathState = { name: "relayed", ...use, path: byRelay };
  const said = pathText({ ...NEW_PATH, state }, { now: NOW, nameOf: (node) => (node === relay ? "home" : "another") });
  assert.match(said, /^relayed by home, /);
});

test("what carries the packets, or will carry the next ones, is the path; nothing while it is looked for", () => {
  const of = (state: PathState): unknown => pathOf({ ...NEW_PATH, state });
  assert.deepEqual(
    [
      of({ name: "direct", ...use, path }),
      of({ name: "relayed", ...use, path: byRelay }),
      of({ name: "suspect", path, heardAt: 0, sinceAt: 0, step: 0 }),
      of({ name: "dormant", last: byRelay, isLapsed: false, heardAt: 0, sinceAt: 0 }),
    ],
    [path, byRelay, path, byRelay],
  );
  for (const state of [NEW_PATH.state, { ...probing, tentative: [relayed(relay)] }, failed(0), { name: "stopped" }] as const)
    assert.equal(of(state), undefined, state.name);
});

test("packets that go unanswered for longer than a keepalive takes are told, while probes are answered", () => {
  for (const state of [
    { name: "direct", ...use, path },
    { name: "relayed", ...use, path: byRelay },
  ] as const) {
    const peer = { path: { ...NEW_PATH, state } };
    assert.equal(isUnheardInTunnel({ ...peer, unansweredAt: NOW - 13_001 }, NOW), true);
    assert.equal(isUnheardInTunnel({ ...peer, unansweredAt: NOW - 13_000 }, NOW), false);
    assert.equal(isUnheardInTunnel({ ...peer, unansweredAt: undefined }, NOW), false);
  }
  assert.equal(isUnheardInTunnel({ path: NEW_PATH, unansweredAt: 1 }, NOW), false, "the path is what is told then");
  assert.equal(isUnheardInTunnel(undefined, NOW), false);
});

test("what goes by TCP is told as such, without the bridge's address", () => {
  const byTcp = { candidate: direct({ ip: "127.0.0.1" as Ip, port: 5_000 }), rtt: 5, measuredAt: 0 };
  assert.equal(text({ state: { name: "direct", ...use, path: byTcp } }), "tcp");
  assert.equal(text({ state: { name: "dormant", last: byTcp, isLapsed: false, heardAt: 5, sinceAt: 6 } }), "tcp, idle");
  const relayedBy = (isByTcp: boolean): string =>
    pathText(
      { ...NEW_PATH, state: { name: "relayed", ...use, path: byRelay } },
      { now: NOW, nameOf: () => "office", isByTcp: () => isByTcp },
    );
  assert.deepEqual(
    [relayedBy(true), relayedBy(false)],
    ["relayed via office by tcp, looking for a direct path", "relayed by office, looking for a direct path"],
  );
});
