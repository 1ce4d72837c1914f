import assert from "node:assert/strict";
import { test } from "node:test";
import type { MappingView, NetcheckView } from "../api/netcheck-view.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { type Candidate, direct, relayed } from "../path/candidate.ts";
import type { Mapping } from "../wire/probe.ts";
import type { CandidateLog } from "./candidate-log.ts";
import { netcheckView } from "./netcheck-view.ts";
import type { Sighting } from "./observed-endpoints.ts";
import { at, type KnownOf, NOW, partsOf, sources, WALL_OFFSET } from "./view-parts-fixture.ts";

const HOUR = 3_600_000;

function answers(candidate: Candidate, answeredAt: number, rtt = 10): (log: CandidateLog) => void {
  return (log) => {
    log.asked(candidate, answeredAt - rtt);
    log.note({ type: "answered", candidate, rtt }, answeredAt);
  };
}

function relay(endpoint: string, rtt: number): KnownOf {
  return { record: { isRelay: true }, log: answers(direct(at(endpoint)), NOW - 100, rtt) };
}

function netcheck(...args: Parameters<typeof partsOf>): NetcheckView {
  return netcheckView(partsOf(...args), sources);
}

test("UDP works when a peer answered lately, is silent when peers were asked, and is not known when nobody was", () => {
  const candidate = direct(at("203.0.113.1:7"));
  const asked = (log: CandidateLog): void => log.asked(candidate, NOW - 1_000);
  const lately = answers(relayed(idOf("c")), NOW - 9_000);
  assert.deepEqual(netcheck({ b: { log: lately }, c: { log: asked } }).udp, {
    state: "works",
    answeredBy: 1,
    answeredAt: NOW - 9_000 + WALL_OFFSET,
  });
  assert.deepEqual(netcheck({ b: { log: asked } }).udp, { state: "silent", answeredBy: 0 });
  const failed = { state: { name: "failed", failedAt: 1, triedAt: 1, retryAt: NOW + HOUR, failures: 9 } } as const;
  assert.deepEqual(netcheck({ b: { path: failed } }).udp, { state: "silent", answeredBy: 0 });
  assert.deepEqual(netcheck({ b: { path: failed, log: lately } }).udp, { state: "silent", answeredBy: 0 });
  assert.deepEqual(netcheck({ b: { log: answers(candidate, NOW - HOUR) } }).udp, { state: "unknown", answeredBy: 0 });
  assert.deepEqual(netcheck({}).udp, { state: "unknown", answeredBy: 0 });
});

const one: Sighting = { observer: idOf("b"), seen: at("198.51.100.1:9"), saidAt: NOW - 1 };
const same: Sighting = { ...one, observer: idOf("c"), saidAt: NOW };
const other: Sighting = { ...one, observer: idOf("c"), seen: at("198.51.100.1:10") };
const own: Sighting = { ...one, observer: idOf("c"), seen: at("192.168.1.2:51820") };

// What the sightings are taken for elsewhere, who sees what, and what a person is told.
const mappings: Readonly<Record<string, readonly [Mapping, readonly Sighting[], MappingView]>> = {
  "nobody has said anything": ["unknown", [], "unknown"],
  "one peer alone": ["endpoint-independent", [one], "unknown"],
  "one peer alone, beside another of the same network": ["endpoint-independent", [one, own], "unknown"],
  "one peer alone, beside two of the same network": ["endpoint-independent", [one, own, { ...own, observer: idOf("d") }], "unknown"],
  "two that agree": ["endpoint-independent", [one, same], "endpoint-independent"],
  "two that do not": ["endpoint-dependent", [one, other], "endpoint-dependent"],
  "its own address": ["none", [own], "none"],
};
for (const [who, [mapping, sightings, told]] of Object.entries(mappings))
  test(`seen by ${who}: ${told}`, () => assert.equal(netcheck({ b: {}, c: {} }, { mapping, sightings }).mapping, told));

test("where it is seen: each place once, with those who see it there", () => {
  assert.deepEqual(netcheck({ b: {}, c: {} }, { sightings: [same, one, { ...other, observer: idOf("stranger") }] }).seen, [
    { endpoint: "198.51.100.1:10", by: [idOf("stranger").slice(0, 8)], at: NOW - 1 + WALL_OFFSET },
    { endpoint: "198.51.100.1:9", by: ["b", "c"], at: NOW + WALL_OFFSET },
  ]);
});

test("relays: the nearest first, only by their straight path; homes with how often they are asked", () => {
  const byRelay = answers(relayed(idOf("near")), NOW, 1);
  const around = { homes: [{ node: idOf("far"), every: 23_000 }] };
  const quiet: KnownOf = { record: { isRelay: true }, log: (log) => log.asked(direct(at("203.0.113.9:9")), NOW - 1_000) };
  const view = netcheck(
    {
      far: relay("203.0.113.1:7", 80),
      near: relay("[2001:db8::7]:7", 8),
      quiet,
      hidden: { record: { isRelay: true }, log: byRelay },
      plain: { record: {} },
    },
    around,
  );
  const answeredAt = NOW - 100 + WALL_OFFSET;
  const far = { name: "far", id: idOf("far"), answers: true, path: "direct 203.0.113.1:7", rttMs: 80, answeredAt, everyMs: 23_000 };
  assert.deepEqual(view.homes, [far]);
  assert.deepEqual(view.relays, [
    { name: "near", id: idOf("near"), answers: true, path: "direct [2001:db8::7]:7", rttMs: 8, answeredAt },
    far,
    { name: "quiet", id: idOf("quiet"), answers: false, path: "direct 203.0.113.9:9" },
    { name: "hidden", id: idOf("hidden"), answers: false },
  ]);
});

test("a relay that moved is told by the answer, not by the older question; one that answered before and does not now is silent", () => {
  const moved = (log: CandidateLog): void => {
    log.asked(direct(at("203.0.113.1:1")), NOW);
    answers(direct(at("203.0.113.1:2")), NOW - 50)(log);
  };
  const gone = (log: CandidateLog): void => {
    answers(direct(at("203.0.113.2:1")), NOW - 9_000, 5)(log);
    log.asked(direct(at("203.0.113.2:1")), NOW - 1_000);
  };
  const { relays } = netcheck({ moved: { record: { isRelay: true }, log: moved }, gone: { record: { isRelay: true }, log: gone } });
  assert.deepEqual(
    relays.map(({ name, answers: isThere, path, rttMs }) => [name, isThere, path, rttMs]),
    [
      ["gone", false, "direct 203.0.113.2:1", 5],
      ["moved", true, "direct 203.0.113.1:2", 10],
    ],
  );
});

test("IPv6: global addresses alone, and whether a peer answered over it", () => {
  const host = ["192.168.1.2", "2001:db8::2", "fd00::2"];
  const over = (endpoint: string): KnownOf => ({ log: answers(direct(at(endpoint)), NOW) });
  assert.deepEqual(netcheck({ b: over("[2001:db8::7]:7") }, {}, host).ipv6, { addresses: ["2001:db8::2"], works: true });
  assert.deepEqual(netcheck({ b: over("[fd00::7]:7"), c: over("203.0.113.1:7") }, {}, host).ipv6, {
    addresses: ["2001:db8::2"],
    works: false,
  });
  assert.deepEqual(netcheck({ b: {} }).ipv6, { addresses: [], works: false });
});

test("health is that of the status, and whether others come in unasked is told", () => {
  const view = netcheckView(partsOf({ b: {} }, { isReachable: true }), { ...sources, guard: { guarded: false, reason: "nft is missing" } });
  assert.equal(view.reachable, true);
  assert.match(view.health.map(({ text }) => text).join(), /nft is missing/);
});
