import type { NetcheckView, RelayView, WhyView } from "@mesh/core/api";

/** Wall milliseconds since 1970: when the views below were made. */
export const VIEWED_AT: number = Date.UTC(2026, 10, 23, 9, 30);

/** A node behind a NAT that gives each destination another port asks for one behind a strict NAT. */
export const why: WhyView = {
  version: 1,
  target: "10.77.3.9",
  owner: {
    name: "laptop-c",
    id: "03".repeat(32),
    number: 3,
    role: "member",
    address4: "10.77.3.1",
    address6: "fd4e:1f2a:9c01:3::1",
    prefixes: ["10.77.3.0/24"],
    routed: true,
    certificate: { issuer: "gateway", issuerId: "01".repeat(32), serial: 7, generation: 0, assignedAt: VIEWED_AT - 1_800_000 },
  },
  path: {
    kind: "relay",
    state: "alive",
    text: "relayed by pub-1",
    reason: "none of its 2 addresses that were asked answers; a direct path is tried again in 12 s",
    hint: "`mesh netcheck` at both ends says what stands in the way.",
    rttMs: 31,
    rttAt: VIEWED_AT - 3_000,
  },
  candidates: [
    { relay: "pub-1", origin: "its-home", fate: "in-use", askedAt: VIEWED_AT - 3_031, answeredAt: VIEWED_AT - 3_000, rttMs: 31 },
    { relay: "pub-2", origin: "own-home", fate: "answered", askedAt: VIEWED_AT - 9_044, answeredAt: VIEWED_AT - 9_000, rttMs: 44 },
    {
      endpoint: "198.51.100.7:4242",
      origin: "published",
      fate: "unanswered",
      askedAt: VIEWED_AT - 4_000,
      answeredAt: VIEWED_AT - 600_000,
      rttMs: 12,
    },
    { endpoint: "[2001:db8::7]:4242", origin: "heard", fate: "untried", reason: "not yet" },
    { endpoint: "198.51.100.7:53", origin: "published", fate: "refused", reason: "ports below 1024 are not knocked at, but 443" },
  ],
  here: { mapping: "endpoint-dependent", reachable: false, homes: ["pub-1", "pub-2"] },
  there: { reachable: false, relays: false, homes: ["pub-1"], stopped: false },
};

function relay(number: number, more: Partial<RelayView> = {}): RelayView {
  const path = `direct 203.0.113.${number}:7000`;
  return { name: `pub-${number}`, id: `0${number}`.repeat(32), answers: true, path, rttMs: 10 * number, answeredAt: VIEWED_AT, ...more };
}

export const netcheck: NetcheckView = {
  version: 1,
  udp: { state: "works", answeredBy: 3, answeredAt: VIEWED_AT - 2_000 },
  mapping: "endpoint-independent",
  seen: [{ endpoint: "198.51.100.1:40000", by: ["pub-1", "pub-2"], at: VIEWED_AT }],
  reachable: false,
  ipv6: { addresses: [], works: false },
  homes: [relay(1, { everyMs: 23_400 }), relay(2, { everyMs: 104_000 })],
  relays: [relay(1, { everyMs: 23_400 }), relay(2, { everyMs: 104_000 }), relay(3, { answers: false })],
  health: [],
};
