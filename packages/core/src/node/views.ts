import { address4, address6, subnet4, subnet6 } from "../address/address-plan.ts";
import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import { formatPrefix } from "../address/prefix.ts";
import type { PortMappingView } from "../api/netcheck-view.ts";
import type { HealthView, PeerView, RoutesView, RouteView, SelfView, StatusView } from "../api/views.ts";
import type { MeshError } from "../errors.ts";
import { type NodeId, shortId } from "../ids/node-id.ts";
import type { Member, Membership } from "../membership/membership.ts";
import type { Trust } from "../membership/trust.ts";
import { type Candidate, isTcpEndpoint } from "../path/candidate.ts";
import type { PeerPath } from "../path/path-state.ts";
import type { PeerSlot, PeerTraffic } from "../ports/datapath.ts";
import type { HostView } from "../ports/host-network.ts";
import type { EndpointRecord } from "../records/endpoint-record.ts";
import { prefixesOf } from "../routing/compile-table.ts";
import { type Millis, seconds } from "../time/millis.ts";
import type { Counters } from "./counters.ts";
import { isUnheardInTunnel, pathOf, pathText, peerState, unreachedSince } from "./peer-state.ts";
import type { Peers } from "./peers.ts";
import type { NodeSnapshot } from "./snapshot.ts";

/** The tunnel device, for views. */
export interface NodeDevice {
  readonly name: string;
  readonly mtu: number;
  readonly backend: "native" | "twin";
}

/** What only the shell can see, brought along when a view is asked for. */
export interface ViewSources {
  readonly now: Millis;
  traffic(slot: PeerSlot): PeerTraffic;
  /** Counters of the engine, by their names there. */
  readonly datapathCounters: Readonly<Record<string, number>>;
  /** What routers did wrong that were asked for port mappings. */
  readonly natCounters?: Readonly<Record<string, number>> | undefined;
  /** What routers gave; undefined as long as none has been asked. */
  readonly portMapping?: PortMappingView | undefined;
  /** What the bridges between engine and TCP dropped or refused, by name. */
  readonly tcpWayCounters?: Readonly<Record<string, number>>;
  /** Whether the host drops what comes for mesh addresses by another way than the tunnel. */
  readonly guard: { readonly guarded: true } | { readonly guarded: false; readonly reason: string };
  /** Why this node's state is not durable, if it is not. */
  readonly unwritten: MeshError | undefined;
}

/** What the node knows, as its views need it. */
export interface ViewParts {
  readonly id: NodeId;
  readonly trust: Trust;
  readonly membership: Membership;
  readonly peers: Pick<Peers, "peer" | "observed" | "surroundings" | "isByTcp" | "isUdpBlocked">;
  readonly counters: Counters;
  readonly device: NodeDevice;
  readonly holdsRoot: boolean;
  readonly snapshot: NodeSnapshot;
  readonly links: ReadonlyMap<NodeId, Endpoint>;
  readonly listen: readonly Endpoint[];
  /** What routers lead to the tunnel's UDP port. */
  readonly mapped: readonly Endpoint[];
  readonly startedWallAt: Millis;
  readonly wallOffset: Millis;
  readonly host: HostView;
  /** What every node says of where it is, former members and this node included. */
  endpointRecords(): readonly EndpointRecord[];
  /** The mesh's IPv4 prefix collided with nothing of the host when the node started. */
  readonly isIpv4Usable: boolean;
  /** The host's route or address that it collides with now. */
  readonly collision: string | undefined;
}

export function statusView(parts: ViewParts, sources: ViewSources): StatusView {
  const { trust, device, snapshot, links, listen, counters } = parts;
  const own = parts.membership.members.get(parts.id);
  const engine = Object.entries(sources.datapathCounters).filter(([, count]) => count > 0);
  const routers = Object.entries(sources.natCounters ?? {});
  return {
    version: 1,
    network: {
      name: trust.statement.name,
      id: trust.network,
      prefix4: formatPrefix(trust.plan.prefix4),
      prefix6: formatPrefix(trust.plan.prefix6),
    },
    self: selfView(parts, own),
    tunnel: { device: device.name, mtu: device.mtu, udpPort: snapshot.udpPort, backend: device.backend },
    control: { listen: listen.map(formatEndpoint), links: links.size },
    peers: peersOf(parts).map((member) => peerView(parts, member, sources)),
    health: healthOf(parts, sources),
    counters: {
      ...counters.view(),
      ...Object.fromEntries(engine.map(([name, count]) => [`datapath.${name}`, count])),
      ...Object.fromEntries(routers.map(([name, count]) => [`nat.${name}`, count])),
      ...Object.fromEntries(Object.entries(sources.tcpWayCounters ?? {}).map(([name, count]) => [`tcpWay.${name}`, count])),
    },
  };
}

/** The routing view: own subnets, then those of every member in order of number, each with how and why. */
export function routesView(parts: ViewParts, sources: ViewSources): RoutesView {
  const { trust, membership, device, peers, id } = parts;
  const rows: RouteView[] = [];
  const own = membership.members.get(id);
  if (own !== undefined) {
    for (const prefix of [subnet4(trust.plan, own.certificate.number), subnet6(trust.plan, own.certificate.number)]) {
      rows.push({ prefix: formatPrefix(prefix), node: own.name, nodeId: id, backend: "local", nextHop: device.name, reason: "this node" });
    }
  }
  for (const member of peersOf(parts)) {
    const path = peers.peer(member.id)?.path;
    const used = path === undefined || path.state.name === "suspect" ? undefined : pathOf(path)?.candidate;
    const nextHop = used === undefined ? "-" : nextHopOf(parts, used);
    const reason = `number ${member.certificate.number} by certificate; ${path === undefined ? "not usable as a peer" : textOf(parts, path, sources.now)}`;
    for (const prefix of prefixesOf(trust.plan, member)) {
      rows.push({
        prefix: formatPrefix(prefix),
        node: member.name,
        nodeId: member.id,
        backend: used === undefined ? "none" : "tunnel",
        nextHop,
        reason,
      });
    }
    if (member.isConflicted) {
      const prefix = formatPrefix(subnet4(trust.plan, member.certificate.number));
      rows.push({ prefix, node: member.name, nodeId: member.id, backend: "none", nextHop: "-", reason: "another node holds this number" });
    }
  }
  return { version: 1, routes: rows };
}

function textOf(parts: ViewParts, path: PeerPath, now: Millis): string {
  return pathText(path, { now, ...namesIn(parts) });
}

/** Of members and of relays, as texts of paths need them. */
export function namesIn(parts: ViewParts): { nameOf(node: NodeId): string; isByTcp(relay: NodeId): boolean } {
  return { nameOf: (node) => nameOf(parts, node), isByTcp: (relay) => parts.peers.isByTcp(relay) };
}

/** For people: the name of a member, or the beginning of its id. */
export function nameOf({ membership }: ViewParts, node: NodeId): string {
  return membership.members.get(node)?.name ?? shortId(node);
}

/** Where packets go first: the peer's endpoint, or the relay's name; `tcp` where that is a connection to the peer. */
function nextHopOf(parts: ViewParts, candidate: Candidate): string {
  if (candidate.type === "direct") return isTcpEndpoint(candidate.endpoint) ? "tcp" : formatEndpoint(candidate.endpoint);
  return nameOf(parts, candidate.relay);
}

function peersOf({ membership, id }: ViewParts): readonly Member[] {
  return [...membership.members.values()].filter((member) => member.id !== id);
}

function selfView(parts: ViewParts, own: Member | undefined): SelfView {
  const { trust, id, holdsRoot, startedWallAt, isIpv4Usable } = parts;
  const { plan } = trust;
  const certificate = own?.certificate ?? trust.believedCertificate(parts.snapshot.certificate)?.certificate;
  if (certificate === undefined) throw new TypeError("this node's own certificate does not hold");
  const { number, role } = certificate;
  return {
    name: own?.name ?? certificate.name,
    id,
    number,
    role,
    holdsRoot,
    ...(isIpv4Usable && { address4: address4(plan, number) }),
    address6: address6(plan, number),
    subnet4: formatPrefix(subnet4(plan, number)),
    subnet6: formatPrefix(subnet6(plan, number)),
    seenAs: parts.peers.observed(),
    ...(parts.mapped.length > 0 && { mapped: parts.mapped.map(formatEndpoint) }),
    startedAt: startedWallAt,
  };
}

function peerView(parts: ViewParts, member: Member, { now, traffic }: ViewSources): PeerView {
  const { trust, peers, links, wallOffset } = parts;
  const { plan } = trust;
  const { number, role } = member.certificate;
  const peer = peers.peer(member.id);
  const state = peer?.path.state;
  const used = peer === undefined || state?.name === "suspect" ? undefined : pathOf(peer.path);
  const seen = peer === undefined ? undefined : traffic(peer.slot);
  const heardAt = Math.max(state !== undefined && "heardAt" in state ? state.heardAt : 0, seen?.authenticatedReceivedAt ?? 0);
  const isLinked = links.has(member.id);
  return {
    name: member.name,
    id: member.id,
    number,
    role,
    address4: address4(plan, number),
    address6: address6(plan, number),
    subnet4: formatPrefix(subnet4(plan, number)),
    subnet6: formatPrefix(subnet6(plan, number)),
    state: peer === undefined ? "unknown" : peerState(peer.path, isLinked),
    path: peer === undefined ? "not usable as a peer" : textOf(parts, peer.path, now),
    ...(used?.candidate.type === "direct" &&
      !isTcpEndpoint(used.candidate.endpoint) && { endpoint: formatEndpoint(used.candidate.endpoint) }),
    ...(used?.candidate.type === "relay" && { relay: nextHopOf(parts, used.candidate) }),
    ...(used !== undefined && { rttMs: used.rtt, rttAt: used.measuredAt + wallOffset }),
    ...(heardAt > 0 && { heardAt: heardAt + wallOffset }),
    ...(peer?.sessionAt !== undefined && { sessionAt: peer.sessionAt + wallOffset }),
    receivedBytes: seen?.receivedBytes ?? 0,
    sentBytes: seen?.sentBytes ?? 0,
    receivedPackets: seen?.receivedPackets ?? 0,
    sentPackets: seen?.sentPackets ?? 0,
    linked: isLinked,
    ...(member.isConflicted && { conflict: true }),
  };
}

/** What is not as it should be. */
export function healthOf(parts: ViewParts, { now, guard, unwritten }: ViewSources): readonly HealthView[] {
  const { membership, id, links, collision, listen } = parts;
  const own = membership.members.get(id);
  const notes: HealthView[] = [];
  // It stays for as long as the others are told.
  const { hasLeft } = parts.snapshot;
  if (own === undefined || hasLeft) {
    const how = hasLeft || membership.former.get(id)?.how === "left" ? "left" : "was removed from";
    notes.push({ level: "error", text: `this node ${how} the network`, hint: "Only an admin can let it back in." });
  }
  if (unwritten !== undefined) {
    const hint = `${unwritten.hint ?? ""} Until then nobody can be let in by this node, and in time it makes no new sessions.`.trim();
    notes.push({ level: "error", text: unwritten.message, hint });
  }
  if (own?.isConflicted === true)
    notes.push({ level: "error", text: `another node holds number ${own.certificate.number}: nothing is routed to this one` });
  const prefix = formatPrefix(parts.trust.plan.prefix4);
  if (!parts.isIpv4Usable) {
    const text = `IPv4 of the mesh is off on this host: ${prefix} ${collision === undefined ? "collided with a route at the start" : `collides with ${collision}`}`;
    const hint = collision === undefined ? "Restart with `mesh down` and `mesh up`." : "Nodes are reached by their IPv6 addresses.";
    notes.push({ level: "warning", text, hint });
  } else if (collision !== undefined) {
    const text = `${prefix} of the mesh collides with ${collision}, which came up later: packets to some nodes may leave this host unencrypted`;
    notes.push({ level: "error", text, hint: "Remove that route, or reach nodes by their IPv6 addresses." });
  }
  if (!guard.guarded)
    notes.push({
      level: "warning",
      text: `packets for mesh addresses that come by another way than the tunnel are not dropped: ${guard.reason}`,
      hint: "Install nftables, and restart with `mesh down` and `mesh up`.",
    });
  if (parts.device.backend === "twin")
    notes.push({
      level: "warning",
      text: "packets are carried by the slow engine in TypeScript",
      hint: "Install a C++ compiler (apt-get install g++), run: node packages/datapath/build.mjs, and restart.",
    });
  if (listen.length === 0)
    notes.push({ level: "warning", text: "this host has no address that others could reach", hint: "Check its network connection." });
  const silent = silentPeers(parts, now);
  const others = membership.members.size - 1;
  if (own !== undefined && others > 0 && links.size === 0) {
    const isCutOff = silent.length === others;
    const text = isCutOff ? "cut off: no control link to any member, and no peer answers" : "no control link to any member";
    notes.push({
      level: isCutOff ? "error" : "warning",
      text,
      hint: isCutOff ? "Check this host's network." : "Changes in the network reach this node only when a link is up again.",
    });
  }
  if (silent.length > 0)
    notes.push({
      level: "warning",
      text: `${silent.length} of ${others} peers ${silent.length === 1 ? "is" : "are"} silent: ${named(silent)}`,
    });
  const withoutUdp = peersOf(parts).flatMap(({ id, name }) => (links.has(id) && isReachedByTcpAlone(parts, id, now) ? [name] : []));
  if (withoutUdp.length > 0)
    notes.push({
      level: "warning",
      text: `TCP works and UDP does not: ${named(withoutUdp)}`,
      hint: `A firewall? UDP port ${parts.snapshot.udpPort} must be let in here, or the peer's there (\`mesh peers\` names it).`,
    });
  if (parts.peers.isUdpBlocked && peersOf(parts).some(({ id }) => parts.peers.isByTcp(id)))
    notes.push({
      level: "warning",
      text: "UDP gets no answer on this network: members are reached by TCP, which is slower",
      hint: `A firewall? With UDP let out from port ${parts.snapshot.udpPort} paths are direct again.`,
    });
  const deaf = peersOf(parts).flatMap(({ id, name }) => (isUnheardInTunnel(parts.peers.peer(id), now) ? [name] : []));
  if (deaf.length > 0)
    notes.push({
      level: "warning",
      text: `nothing comes back through the tunnel, though probes are answered: ${named(deaf)}`,
      hint: "A firewall there, or a path that loses large packets: compare `mesh ping` and ping.",
    });
  return notes;
}

function named(notes: readonly string[]): string {
  const more = notes.length > MAX_NAMED ? `; and ${notes.length - MAX_NAMED} more` : "";
  return `${notes.slice(0, MAX_NAMED).join("; ")}${more}`;
}

/** Silent peers that the health tail names; `mesh peers` shows all. */
const MAX_NAMED = 3;

/** The control link to a peer that is gone is closed within this time, and until then says nothing about the peer. */
const DEAD_LINK_GONE_AFTER: Millis = seconds(30);

/** Of a peer with a control link. One that never answered by UDP is not one that has just died. */
function isReachedByTcpAlone(parts: ViewParts, node: NodeId, now: Millis): boolean {
  const peer = parts.peers.peer(node);
  const since = peer === undefined ? undefined : unreachedSince(peer.path);
  return since !== undefined && (peer?.sessionAt === undefined || now - since >= DEAD_LINK_GONE_AFTER);
}

/** Peers that should answer and do not, each with what is known. */
function silentPeers(parts: ViewParts, now: Millis): readonly string[] {
  return peersOf(parts).flatMap(({ id, name }) => {
    const path = parts.peers.peer(id)?.path;
    if (path === undefined) return [];
    const state = peerState(path, parts.links.has(id));
    return state === "failed" || state === "suspect" ? [`${name}: ${textOf(parts, path, now)}`] : [];
  });
}
