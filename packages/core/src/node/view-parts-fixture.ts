// A node as its views see it, without the node: what it knows of its peers is given.
import assert from "node:assert/strict";
import { type Endpoint, parseEndpoint } from "../address/endpoint.ts";
import type { NodeId } from "../ids/node-id.ts";
import { compileMembership } from "../membership/membership.ts";
import { idOf, SampleNetwork } from "../membership/sample-network-fixture.ts";
import { NEW_PATH, type PeerPath } from "../path/path-state.ts";
import { type EndpointRecord, NOWHERE } from "../records/endpoint-record.ts";
import { CandidateLog } from "./candidate-log.ts";
import { Counters } from "./counters.ts";
import type { KnownPeer, Surroundings } from "./peer.ts";
import type { ViewParts, ViewSources } from "./views.ts";

export const NOW = 100_000_000;
/** Wall time minus boot time. */
export const WALL_OFFSET = 5_000_000;

export function at(text: string): Endpoint {
  return parseEndpoint(text) ?? assert.fail(text);
}

/** What is known of one peer; all that is left out is as of a peer never heard of. */
export interface KnownOf {
  readonly path?: Partial<PeerPath>;
  readonly log?: (log: CandidateLog) => void;
  readonly record?: Partial<EndpointRecord>;
}

/** Members are `me` with number 1 by root, and after it those of `peers` by `me`. */
export function partsOf(
  peers: Readonly<Record<string, KnownOf>>,
  around: Partial<Surroundings> = {},
  host: readonly string[] = ["192.168.1.2"],
): ViewParts {
  const network = new SampleNetwork();
  const own = network.admin("me", 1);
  const certificates = Object.keys(peers).map((name, i) => network.certificate(name, { number: i + 2, issuerCertificate: own }, "me"));
  const membership = compileMembership(
    network.trust,
    [own, ...certificates].map((bytes) => network.open(bytes)),
  );
  const known = new Map<NodeId, KnownPeer>(
    Object.entries(peers).map(([name, { path, log }], slot) => {
      const candidates = new CandidateLog();
      log?.(candidates);
      return [idOf(name), { slot, path: { ...NEW_PATH, ...path }, candidates, sessionAt: undefined, unansweredAt: undefined }];
    }),
  );
  const records = Object.entries(peers).flatMap(([name, { record }]) =>
    record === undefined ? [] : [{ network: network.id, node: idOf(name), isStopped: false, ...NOWHERE, ...record }],
  );
  return {
    id: idOf("me"),
    trust: network.trust,
    membership,
    peers: {
      peer: (node) => known.get(node),
      observed: () => [],
      isByTcp: () => false,
      isUdpBlocked: false,
      surroundings: () => ({ mapping: "unknown", sightings: [], isReachable: false, homes: [], ...around }),
    },
    counters: new Counters(),
    device: { name: "mesh0", mtu: 1_420, backend: "native" },
    holdsRoot: true,
    snapshot: { udpPort: 51_820 } as ViewParts["snapshot"],
    links: new Map(),
    listen: [at("192.168.1.2:4001")],
    mapped: [],
    startedWallAt: 1,
    wallOffset: WALL_OFFSET,
    isIpv4Usable: true,
    collision: undefined,
    host: { addresses: host.map((ip) => ({ device: "eth0", ip: ip as Endpoint["ip"], prefixLength: 24 })), routes: [] },
    endpointRecords: () => records,
  };
}

export const sources: ViewSources = {
  now: NOW,
  traffic: () => assert.fail("these views are not about traffic"),
  datapathCounters: {},
  guard: { guarded: true },
  unwritten: undefined,
};
