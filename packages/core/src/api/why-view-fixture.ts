// One view of each kind with every part it can have.
import type { NetcheckView } from "./netcheck-view.ts";
import type { WhyView } from "./why-view.ts";

export const why: WhyView = {
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
export const netcheck: NetcheckView = {
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
