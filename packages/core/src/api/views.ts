import { errorFactsShape } from "../config/error-facts-shape.ts";
import { flag, list, number, oneOf, openObject, optional, record, type Shape, ShapeError, text } from "../config/shape.ts";
import type { ErrorFacts } from "../errors.ts";

/**
 * What status, peers and routes show, as data. Scripts read this: under `version` 1 keys only ever get added, and a reader
 * refuses any other version. Instants are wall milliseconds since 1970; durations are milliseconds.
 */
export interface StatusView {
  readonly version: 1;
  readonly network: NetworkView;
  readonly self: SelfView;
  readonly tunnel: TunnelView;
  readonly control: ControlView;
  readonly peers: readonly PeerView[];
  /** What is not as it should be, with what to do; empty when all is well. */
  readonly health: readonly HealthView[];
  /** Everything counted since start, by dotted name: `datapath.udpNotAuthentic`, `probe.replayed` … Zeros are left out. */
  readonly counters: Readonly<Record<string, number>>;
}

interface NetworkView {
  readonly name: string;
  readonly id: string;
  readonly prefix4: string;
  readonly prefix6: string;
}

export interface SelfView {
  readonly name: string;
  readonly id: string;
  readonly number: number;
  readonly role: MemberRole;
  /** This node holds the network's root key. */
  readonly holdsRoot: boolean;
  /** Absent where the mesh's IPv4 prefix collides with a route of this host. */
  readonly address4?: string;
  readonly address6: string;
  readonly subnet4: string;
  readonly subnet6: string;
  /** Where peers see this node's datagrams come from, `ip:port`: its reflexive addresses (RFC 4787). */
  readonly seenAs: readonly string[];
  /** Endpoints that routers lead to the tunnel's UDP port, `ip:port`. Absent: none. */
  readonly mapped?: readonly string[];
  readonly startedAt: number;
}

export type MemberRole = "admin" | "member";

export interface TunnelView {
  readonly device: string;
  readonly mtu: number;
  readonly udpPort: number;
  readonly backend: "native" | "twin";
}

export interface ControlView {
  /** Addresses where other members reach the control plane, `ip:port`. */
  readonly listen: readonly string[];
  readonly links: number;
}

/** Words as in Serf; `unknown`: nothing was ever heard and nothing tried. */
export type PeerState = "alive" | "suspect" | "failed" | "left" | "unknown";

export interface PeerView {
  readonly name: string;
  readonly id: string;
  readonly number: number;
  readonly role: MemberRole;
  readonly address4: string;
  readonly address6: string;
  readonly subnet4: string;
  readonly subnet6: string;
  readonly state: PeerState;
  /** How packets go: `direct 198.51.100.2:51820`, `relayed by office`, or why they do not: `no answer for 4 s`. */
  readonly path: string;
  readonly endpoint?: string;
  /** Name of the member that relays. */
  readonly relay?: string;
  readonly rttMs?: number;
  /** When `rttMs` was measured: while data flows both ways nothing is asked, and it ages. */
  readonly rttAt?: number;
  /** When an authentic packet last came, by probe, handshake or data. */
  readonly heardAt?: number;
  /** When the current session's keys were made. */
  readonly sessionAt?: number;
  /** Inner bytes and packets since this node started. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly receivedPackets?: number;
  readonly sentPackets?: number;
  /** A control link is up. */
  readonly linked: boolean;
  /** Set when two certificates claim this number and this node lost: its subnet is not routed. */
  readonly conflict?: boolean;
}

export interface HealthView {
  readonly level: "warning" | "error";
  readonly text: string;
  readonly hint?: string;
}

export interface RoutesView {
  readonly version: 1;
  readonly routes: readonly RouteView[];
}

/** One row of the routing view: whose prefix it is, how packets to it travel, and why so. */
export interface RouteView {
  readonly prefix: string;
  readonly node: string;
  readonly nodeId: string;
  readonly backend: "local" | "tunnel" | "none";
  /** Endpoint, device or `-`. */
  readonly nextHop: string;
  readonly reason: string;
}

export interface InviteView {
  /** The secret line to hand over. */
  readonly invite: string;
  readonly expiresAt: number;
  readonly uses: number;
  /** Where the joiner will try, `ip:port`; empty: nobody outside can reach this mesh, see `health` of status. */
  readonly reachableAt: readonly string[];
}

/** One answered or unanswered probe of a peer. */
export interface PingView {
  readonly node: string;
  readonly address: string;
  readonly answered: boolean;
  /** By which path it was answered; where it was not, the path as status shows it. */
  readonly path: string;
  /** Where the answer came from, when it came straight. */
  readonly endpoint?: string;
  /** Name of the member that relayed probe and answer. */
  readonly relay?: string;
  readonly rttMs?: number;
  /** A WireGuard session with the peer exists: packets pass, not only probes. */
  readonly session: boolean;
  /**
   * A packet was sent through the tunnel and something authentic came back by it. False: the path answers and packets do not
   * pass (a session without use at the other side, its firewall). Absent: not tried, because there is no session.
   */
  readonly throughTunnel?: boolean;
}

/** This node is no member any more. */
export interface LeaveView {
  readonly network: string;
  /** Members that it was told to directly; the others hear it from them. 0: they will see this node as failed until somebody removes it. */
  readonly told: number;
}

export interface ErrorView {
  readonly error: ErrorFacts;
}

export const memberRoleShape: Shape<MemberRole> = oneOf("admin", "member");

export const peerStateShape: Shape<PeerState> = oneOf("alive", "suspect", "failed", "left", "unknown");

export const peerShape: Shape<PeerView> = openObject({
  name: text,
  id: text,
  number,
  role: memberRoleShape,
  address4: text,
  address6: text,
  subnet4: text,
  subnet6: text,
  state: peerStateShape,
  path: text,
  endpoint: optional(text),
  relay: optional(text),
  rttMs: optional(number),
  rttAt: optional(number),
  heardAt: optional(number),
  sessionAt: optional(number),
  receivedBytes: number,
  sentBytes: number,
  receivedPackets: optional(number),
  sentPackets: optional(number),
  linked: flag,
  conflict: optional(flag),
});

export const healthShape: Shape<HealthView> = openObject({ level: oneOf("warning", "error"), text, hint: optional(text) });

export const selfShape: Shape<SelfView> = openObject({
  name: text,
  id: text,
  number,
  role: memberRoleShape,
  holdsRoot: flag,
  address4: optional(text),
  address6: text,
  subnet4: text,
  subnet6: text,
  seenAs: list(text),
  mapped: optional(list(text)),
  startedAt: number,
});

export const tunnelShape: Shape<TunnelView> = openObject({ device: text, mtu: number, udpPort: number, backend: oneOf("native", "twin") });

export const controlShape: Shape<ControlView> = openObject({ listen: list(text), links: number });

export const statusShape: Shape<StatusView> = openObject({
  version: version1,
  network: openObject({ name: text, id: text, prefix4: text, prefix6: text }),
  self: selfShape,
  tunnel: tunnelShape,
  control: controlShape,
  peers: list(peerShape),
  health: list(healthShape),
  counters: record(number),
});

export const routesShape: Shape<RoutesView> = openObject({
  version: version1,
  routes: list(
    openObject({ prefix: text, node: text, nodeId: text, backend: oneOf("local", "tunnel", "none"), nextHop: text, reason: text }),
  ),
});

export const inviteShape: Shape<InviteView> = openObject({ invite: text, expiresAt: number, uses: number, reachableAt: list(text) });

export const pingShape: Shape<PingView> = openObject({
  node: text,
  address: text,
  answered: flag,
  path: text,
  endpoint: optional(text),
  relay: optional(text),
  rttMs: optional(number),
  session: flag,
  throughTunnel: optional(flag),
});

export const leaveShape: Shape<LeaveView> = openObject({ network: text, told: number });

export const errorShape: Shape<ErrorView> = openObject({ error: errorFactsShape });

export function version1(value: unknown, path: string): 1 {
  if (value !== 1) throw new ShapeError(path, "1");
  return value;
}
