import assert from "node:assert/strict";
import { test } from "node:test";
import type { CandidateView, WhyView } from "../api/why-view.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { direct, relayed } from "../path/candidate.ts";
import type { Path, PathInUse, PathState } from "../path/path-state.ts";
import type { CandidateLog } from "./candidate-log.ts";
import { at, type KnownOf, NOW, partsOf, sources, WALL_OFFSET } from "./view-parts-fixture.ts";
import { whyView } from "./why-view.ts";

const [published, inside, heard] = ["198.51.100.7:4242", "192.168.9.9:4242", "198.51.100.7:1111"];
const open = relayed(idOf("pub"));
const overRelay: Path = { candidate: open, rtt: 31, measuredAt: NOW - 1_000 };
const straight: Path = { candidate: direct(at(published)), rtt: 9, measuredAt: NOW - 1_000 };
const inUse: Omit<PathInUse, "path"> = { heardAt: NOW, activeAt: NOW, unansweredAt: undefined, asked: 0, askedAt: 0, search: undefined };
const waiting = { name: "waiting", retryAt: NOW + 12_000, failures: 1 } as const;

/** Asked 3 s ago, and no answer. */
function silent(...endpoints: readonly string[]): (log: CandidateLog) => void {
  return (log) => {
    for (const endpoint of endpoints) log.asked(direct(at(endpoint)), NOW - 3_000);
  };
}

const pub: KnownOf = {
  path: { state: { name: "direct", path: { ...straight, candidate: direct(at("203.0.113.1:7")) }, ...inUse } },
  record: { isReachable: true, isRelay: true, udp: [at("203.0.113.1:7")] },
};

function whyB(b: KnownOf, mapping: WhyView["here"]["mapping"] = "none"): WhyView {
  const record = { udp: [at(inside)], reflexive: [at(published)], homes: [idOf("pub")] };
  const path = { endpoints: [at(published), at(inside)], relays: [idOf("pub")], ...b.path };
  const sightings = ["x", "y"].map((name) => ({ observer: idOf(name), seen: at("198.51.100.1:9"), saidAt: NOW }));
  const around = { mapping, sightings, homes: [{ node: idOf("pub"), every: 23_000 }] };
  return whyView(partsOf({ b: { record, ...b, path }, pub }, around), "b", sources);
}

function state(name: "direct" | "relayed", path: Path, more: Partial<PathInUse> = {}): NonNullable<KnownOf["path"]> {
  return { state: { name, path, ...inUse, ...more } };
}

function fates({ candidates }: WhyView): readonly (readonly (string | undefined)[])[] {
  return candidates.map(({ endpoint, relay, origin, fate, reason }) => [endpoint ?? relay, origin, fate, reason]);
}

test("relayed: the relay in use, the addresses that were asked, and what the NAT here has to do with it", () => {
  const log = (candidates: CandidateLog): void => {
    silent(published, inside, heard)(candidates);
    candidates.note({ type: "heard", from: direct(at(heard)) }, NOW);
    candidates.asked(open, NOW - 1_010);
    candidates.note({ type: "answered", candidate: open, rtt: 30 }, NOW - 1_000);
  };
  const view = whyB({ path: state("relayed", overRelay, { search: waiting }), log }, "endpoint-dependent");
  assert.deepEqual(view.path, {
    kind: "relay",
    state: "alive",
    text: "relayed by pub",
    reason:
      "none of its 3 addresses that were asked answers; the NAT here gives each destination another port; a direct path is tried again in 12 s",
    hint: "`mesh netcheck` at both ends says what stands in the way.",
    rttMs: 31,
    rttAt: NOW - 1_000 + WALL_OFFSET,
  });
  const times = { askedAt: NOW - 1_010 + WALL_OFFSET, answeredAt: NOW - 1_000 + WALL_OFFSET, rttMs: 30 };
  const asked = { fate: "unanswered", askedAt: NOW - 3_000 + WALL_OFFSET } as const;
  assert.deepEqual(view.candidates, [
    { relay: "pub", origin: "its-home", fate: "in-use", ...times },
    { endpoint: published, origin: "published", ...asked },
    { endpoint: inside, origin: "published", ...asked },
    { endpoint: heard, origin: "earlier", ...asked },
  ] satisfies readonly CandidateView[]);
  assert.deepEqual(view.here, { mapping: "endpoint-dependent", reachable: false, homes: ["pub"] });
  assert.deepEqual(view.there, { reachable: false, relays: false, homes: ["pub"], stopped: false });
});

test("whose it is: by name both prefixes, by address or prefix the one that holds it, and by whose word", () => {
  const parts = partsOf({ b: {}, pub });
  const { owner } = whyView(parts, "b", sources);
  assert.deepEqual([owner.number, owner.role, owner.routed, owner.prefixes.length], [2, "member", true, 2]);
  assert.deepEqual([owner.certificate.issuer, owner.certificate.issuerId, owner.certificate.assignedAt], ["me", idOf("me"), 5_000]);
  for (const target of ["10.77.2.1", "10.77.2.99", "10.77.2.0/24", "10.77.2.64/26"]) {
    const view = whyView(parts, target, sources);
    assert.deepEqual([view.target, view.owner.name, view.owner.prefixes], [target, "b", ["10.77.2.0/24"]]);
  }
  assert.match(whyView(parts, owner.address6, sources).owner.prefixes.join(), /^fd.*:2::\/64$/);
  assert.throws(() => whyView(parts, "me", sources), { code: "peer/unknown" });
  assert.throws(() => whyView(parts, "10.77.0.0/16", sources), { code: "peer/ambiguous" });
});

// State of the path, what kind of path that is, and why.
const states: Readonly<Record<string, readonly [state: PathState, kind: WhyView["path"]["kind"], text: string, reason: RegExp]>> = {
  direct: [{ name: "direct", path: straight, ...inUse }, "direct", `direct ${published}`, /^it answers there, and a straight path/],
  "relayed and searching": [
    {
      name: "relayed",
      path: overRelay,
      ...inUse,
      search: { name: "round", round: { kind: "punching", sinceAt: NOW, step: 1 }, failures: 0 },
    },
    "relay",
    "relayed by pub",
    /^its one address that was asked does not answer; a direct path is looked for now$/,
  ],
  suspect: [
    { name: "suspect", path: straight, heardAt: 0, sinceAt: NOW - 1_000, step: 1 },
    "none",
    `no answer for 1 s, last direct ${published}`,
    /has stopped answering/,
  ],
  "probing at first": [
    { name: "probing", round: { kind: "knocking", sinceAt: NOW, step: 1 }, failures: 0, failedAt: undefined, tentative: [] },
    "none",
    "trying 2 addresses and 1 relay",
    /^nothing has answered yet; all candidates are asked now$/,
  ],
  failed: [
    { name: "failed", failedAt: NOW - 90_000, triedAt: NOW, retryAt: NOW + 5_000, failures: 1 },
    "none",
    "no answer for 1 m",
    /^its one address that was asked does not answer; tried again in 5 s, or when it is heard$/,
  ],
  "idle, once reached": [
    { name: "dormant", last: straight, isLapsed: false, heardAt: NOW, sinceAt: NOW },
    "direct",
    `direct ${published}, idle`,
    /answered there last, and nobody needs it now/,
  ],
  "never needed": [
    { name: "dormant", last: undefined, isLapsed: true, heardAt: 0, sinceAt: 0 },
    "none",
    "not tried yet",
    /^nobody needed it yet; the first packet looks for a path$/,
  ],
  stopped: [{ name: "stopped" }, "none", "stopped", /^it said goodbye/],
};
for (const [what, [pathState, kind, text, reason]] of Object.entries(states)) {
  test(`a node whose path is ${what}: ${kind}, and why`, () => {
    const { path } = whyB({ path: { state: pathState }, log: silent(published) });
    assert.deepEqual([path.kind, path.text], [kind, text]);
    assert.match(path.reason, reason);
    assert.equal(path.rttMs !== undefined, kind !== "none");
  });
}

test("what is not asked says why: a direct path answers, nobody needs it, it is no place to knock at, or no relay", () => {
  const mesh = "10.77.9.9:5000";
  const [system, loopback] = ["198.51.100.7:53", "127.0.0.1:5000"];
  const homes = ["me", "pub", "b", "idle", "gone"].map(idOf);
  const record = { udp: [published, inside, mesh, system, loopback].map(at), homes };
  const endpoints = [published, inside].map(at);
  const idle: KnownOf = { record: { isRelay: true } };
  const view = (b: KnownOf): WhyView => whyView(partsOf({ b: { record, ...b }, pub, idle }), "b", sources);
  const log = (candidates: CandidateLog): void => candidates.note({ type: "answered", candidate: straight.candidate, rtt: 9 }, NOW);
  const refused = [
    [mesh, "published", "refused", "it is inside the mesh"],
    [system, "published", "refused", "ports below 1024 are not knocked at, but 443"],
    [loopback, "published", "refused", "it is no address of one host that others could reach"],
    ["me", "its-home", "refused", "it is this node itself"],
    [idOf("gone").slice(0, 8), "its-home", "refused", "it is no member of this network"],
  ];
  assert.deepEqual(fates(view({ path: { ...state("direct", straight), endpoints, relays: [idOf("pub")] }, log })), [
    [published, "published", "in-use", undefined],
    [inside, "published", "untried", "a direct path answers"],
    ["pub", "its-home", "untried", "a direct path answers"],
    ["idle", "its-home", "untried", "no direct path leads to it from here"],
    ...refused,
  ]);
  assert.deepEqual(fates(view({ path: { endpoints } })), [
    [published, "published", "untried", "nobody needs the node now"],
    [inside, "published", "untried", "nobody needs the node now"],
    ["pub", "its-home", "untried", "others come first"],
    ["idle", "its-home", "untried", "no direct path leads to it from here"],
    ...refused,
  ]);
});

test("a relay that does not relay any more, one that was asked before, an offer that is not published, and the last answer of what is silent now", () => {
  const record = { udp: [at(published)], homes: [idOf("pub")] };
  const log = (candidates: CandidateLog): void => {
    candidates.note({ type: "answered", candidate: straight.candidate, rtt: 9 }, NOW - 60_000);
    candidates.asked(straight.candidate, NOW - 2_000);
    candidates.note({ type: "heard", from: direct(at(heard)) }, NOW);
    candidates.asked(relayed(idOf("spare")), NOW - 2_000);
  };
  const spare: KnownOf = { record: { isRelay: true } };
  const path = { state: states["failed"]?.[0] ?? assert.fail(), endpoints: [at(inside), at(heard)] };
  const { candidates, there } = whyView(partsOf({ b: { record, path, log }, pub: { record: { isRelay: false } }, spare }), "b", sources);
  assert.deepEqual(candidates, [
    {
      endpoint: published,
      origin: "published",
      fate: "unanswered",
      askedAt: NOW - 2_000 + WALL_OFFSET,
      answeredAt: NOW - 60_000 + WALL_OFFSET,
      rttMs: 9,
    },
    { relay: "spare", origin: "open", fate: "unanswered", askedAt: NOW - 2_000 + WALL_OFFSET },
    { endpoint: inside, origin: "offered", fate: "untried", reason: "not yet" },
    { endpoint: heard, origin: "heard", fate: "untried", reason: "not yet" },
    { relay: "pub", origin: "its-home", fate: "refused", reason: "it does not relay" },
  ]);
  assert.deepEqual(there?.homes, ["pub"]);
});

test("a node of which nothing is known", () => {
  const view = whyView(partsOf({ b: {} }), "b", sources);
  assert.deepEqual([view.path.kind, view.path.reason, view.candidates, view.there], ["none", "it has not said where it is", [], undefined]);
});
