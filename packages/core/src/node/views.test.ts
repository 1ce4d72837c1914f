import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import type { PeerView, RouteView } from "../api/views.ts";
import type { NodeId } from "../ids/node-id.ts";
import { idOf, SampleNetwork } from "../membership/sample-network-fixture.ts";
import { direct, relayed } from "../path/candidate.ts";
import { NEW_PATH, type PathInUse, type PathState } from "../path/path-state.ts";
import { CandidateLog } from "./candidate-log.ts";
import { Counters } from "./counters.ts";
import type { KnownPeer } from "./peer.ts";
import { routesView, statusView, type ViewParts, type ViewSources } from "./views.ts";

const NOW = 1_000_000;
const endpoint: Endpoint = { ip: "192.0.2.2" as Ip, port: 51_820 };
const use: Omit<PathInUse, "path"> = { heardAt: 5, activeAt: 5, unansweredAt: undefined, asked: 0, askedAt: 0, search: undefined };
const byOffice = { candidate: relayed(idOf("office")), rtt: 50, measuredAt: 7 };

const network = new SampleNetwork();
const book = network.book();
const certificates = ["own", "office", "far"].map((name, i) => network.certificate(name, { number: i + 1 }));
book.merge(certificates);

const none = { sentBytes: 0, receivedBytes: 0, sentPackets: 0, receivedPackets: 0 };
const sources: ViewSources = {
  now: NOW,
  traffic: () => ({ ...none, dataSentAt: 0, dataReceivedAt: 0, authenticatedSentAt: 0, authenticatedReceivedAt: 0, sendCounter: 0 }),
  datapathCounters: {},
  guard: { guarded: true },
  unwritten: undefined,
};

/** A node of three, whose path to `far` is in this state. */
function parts(state: PathState): ViewParts {
  const known = (path: PathState): KnownPeer => ({
    slot: 0,
    candidates: new CandidateLog(),
    path: { ...NEW_PATH, endpoints: [endpoint], state: path },
    sessionAt: undefined,
    unansweredAt: undefined,
  });
  const office: PathState = { name: "direct", ...use, path: { candidate: direct(endpoint), rtt: 5, measuredAt: 5 } };
  const peers: ViewParts["peers"] = {
    peer: (node: NodeId) => known(node === idOf("far") ? state : office),
    observed: () => [],
    isByTcp: () => false,
    isUdpBlocked: false,
  } as Partial<ViewParts["peers"]> as ViewParts["peers"];
  return {
    id: idOf("own"),
    trust: network.trust,
    membership: book.membership,
    peers,
    counters: new Counters(),
    device: { name: "mesh0", mtu: 1_420, backend: "native" },
    holdsRoot: false,
    snapshot: {
      statement: network.statementBytes,
      certificate: certificates[0] ?? assert.fail(),
      sequence: 1,
      udpPort: 51_820,
      tcpPort: 443,
      stampsUntil: 0,
      hasLeft: false,
      relayLimit: 100,
      tcpRelay: 443,
      ledger: { serial: 0, assignments: [], invites: [] },
    },
    links: new Map(),
    listen: [],
    mapped: [],
    startedWallAt: 0,
    wallOffset: 0,
    isIpv4Usable: true,
    collision: undefined,
    host: { addresses: [], routes: [] },
    endpointRecords: () => [],
  };
}

const farIn = (state: PathState): PeerView =>
  statusView(parts(state), sources).peers.find(({ name }) => name === "far") ?? assert.fail("far is no peer");
const routesIn = (state: PathState): readonly RouteView[] => routesView(parts(state), sources).routes.filter(({ node }) => node === "far");

test("a relayed peer is alive, by the relay's name, with the round trip by it and no endpoint", () => {
  const view = farIn({ name: "relayed", ...use, path: byOffice, search: { name: "waiting", retryAt: NOW + 40_000, failures: 3 } });
  const { state, path, relay, endpoint: at, rttMs, rttAt } = view;
  assert.deepEqual(
    { state, path, relay, at, rttMs, rttAt },
    {
      state: "alive",
      path: "relayed by office, no direct path found, next try in 40 s",
      relay: "office",
      at: undefined,
      rttMs: 50,
      rttAt: 7,
    },
  );
});

test("its routes lead to the relay, and say why", () => {
  const rows = routesIn({ name: "relayed", ...use, path: byOffice });
  assert.equal(rows.length, 2);
  for (const { backend, nextHop, reason } of rows)
    assert.deepEqual(
      [backend, nextHop, reason],
      ["tunnel", "office", "number 3 by certificate; relayed by office, looking for a direct path"],
    );
});

test("a straight peer has an endpoint and no relay; asleep, what the next packets try is told", () => {
  const path = { candidate: direct(endpoint), rtt: 5, measuredAt: 5 };
  for (const state of [
    { name: "direct", ...use, path },
    { name: "dormant", last: path, isLapsed: false, heardAt: 5, sinceAt: 5 },
  ] as const) {
    const { endpoint: at, relay } = farIn(state);
    assert.deepEqual([at, relay], ["192.0.2.2:51820", undefined], state.name);
    assert.deepEqual(
      routesIn(state).map(({ nextHop }) => nextHop),
      ["192.0.2.2:51820", "192.0.2.2:51820"],
    );
  }
  assert.equal(farIn({ name: "dormant", last: byOffice, isLapsed: false, heardAt: 5, sinceAt: 5 }).relay, "office");
});

test("a peer without a path has no next hop, neither has one whose path is suspect", () => {
  for (const state of [
    NEW_PATH.state,
    { name: "suspect", path: byOffice, heardAt: 5, sinceAt: 5, step: 1 },
    { name: "failed", failedAt: 5, triedAt: 5, retryAt: 5, failures: 1 },
  ] as const) {
    const { endpoint: at, relay } = farIn(state);
    assert.deepEqual([at, relay], [undefined, undefined], state.name);
    for (const { nextHop, backend } of routesIn(state)) assert.deepEqual([nextHop, backend], ["-", "none"], state.name);
  }
});

test("a relay that is no member any more is told by the beginning of its key", () => {
  const gone = idOf("gone");
  const state: PathState = { name: "relayed", ...use, path: { ...byOffice, candidate: relayed(gone) } };
  assert.equal(farIn(state).relay, gone.slice(0, 8));
});

test("a control link says that UDP is stopped when the peer never answered by UDP, or long enough after it last did", () => {
  const state: PathState = { name: "failed", failedAt: NOW - 1_000, triedAt: NOW, retryAt: NOW + 5_000, failures: 1 };
  const isTold = (sessionAt: number | undefined, failedAt: number): boolean => {
    const known = parts({ ...state, failedAt });
    const peer = (node: NodeId) => ({ ...(known.peers.peer(node) ?? assert.fail()), sessionAt });
    const linked = { ...known, peers: { ...known.peers, peer }, links: new Map([[idOf("far"), endpoint]]) };
    return statusView(linked, sources).health.some(({ text }) => text === "TCP works and UDP does not: far");
  };
  assert.equal(isTold(undefined, NOW - 1_000), true);
  assert.equal(isTold(5, NOW - 1_000), false, "the link may be as dead as the peer, and not yet be closed");
  assert.equal(isTold(5, NOW - 30_000), true);
});

test("a member reached by TCP has no endpoint, and the health tail says why", () => {
  const byTcp: PathState = {
    name: "direct",
    ...use,
    path: { candidate: direct({ ip: "127.0.0.1" as Ip, port: 5_000 }), rtt: 5, measuredAt: 5 },
  };
  const { path, endpoint: at, relay } = farIn(byTcp);
  assert.deepEqual([path, at, relay], ["tcp", undefined, undefined]);
  assert.ok(routesIn(byTcp).every(({ nextHop, reason }) => nextHop === "tcp" && reason.endsWith("; tcp")));
  const view = (isByTcp: boolean) => {
    const known = parts(byTcp);
    const peers = { ...known.peers, isByTcp: () => isByTcp, isUdpBlocked: true } as Partial<ViewParts["peers"]> as ViewParts["peers"];
    return statusView({ ...known, peers }, { ...sources, tcpWayCounters: { notFound: 3 } });
  };
  const isTold = (shown: boolean): boolean => view(shown).health.some(({ text }) => text.startsWith("UDP gets no answer"));
  assert.deepEqual([isTold(true), isTold(false)], [true, false]);
  assert.equal(view(true).counters["tcpWay.notFound"], 3);
});
