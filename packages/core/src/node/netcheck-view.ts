import { isMeshAddress } from "../address/address-plan.ts";
import { formatEndpoint, sameEndpoint } from "../address/endpoint.ts";
import { ipFamily, isPrivate } from "../address/ip.ts";
import type { Ipv6View, MappingView, NetcheckView, RelayView, SeenView, UdpView } from "../api/netcheck-view.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Millis, minutes } from "../time/millis.ts";
import { type CandidateFacts, isAnswering } from "./candidate-log.ts";
import type { Surroundings } from "./peer.ts";
import { candidateText, isUnreached } from "./peer-state.ts";
import { healthOf, nameOf, namesIn, type ViewParts, type ViewSources } from "./views.ts";

/** An answer of before says nothing of the network as it is now: a laptop may have been carried elsewhere. */
const LATELY: Millis = minutes(5);

/** Call it after the relays were asked (`ask-relays`): it shows what is known, and asks nobody. */
export function netcheckView(parts: ViewParts, sources: ViewSources): NetcheckView {
  const { now } = sources;
  const around = parts.peers.surroundings(now);
  const facts = [...parts.membership.members.keys()].flatMap((node) => parts.peers.peer(node)?.candidates.all() ?? []);
  const lately = facts.filter(({ answeredAt }) => answeredAt !== undefined && now - answeredAt < LATELY);
  const every = new Map(around.homes.map((home) => [home.node, home.every]));
  const isMember = (node: NodeId): boolean => parts.membership.members.has(node);
  const relays = parts.endpointRecords().filter(({ node, isRelay }) => isRelay && node !== parts.id && isMember(node));
  const views = relays.map(({ node }) => relayView(parts, { node, every: every.get(node) }));
  return {
    version: 1,
    udp: udpView(parts, now),
    mapping: mappingView(parts, around),
    seen: seenView(parts, around),
    reachable: around.isReachable,
    ipv6: ipv6View(parts, lately),
    homes: around.homes.map((home) => relayView(parts, home)),
    ...(sources.portMapping !== undefined && { portMapping: sources.portMapping }),
    relays: views.toSorted((a, b) => (a.rttMs ?? Number.POSITIVE_INFINITY) - (b.rttMs ?? Number.POSITIVE_INFINITY)),
    health: healthOf(parts, sources),
  };
}

/** One peer alone sees one port whatever the NAT does: only a second one tells. */
export function mappingView(parts: ViewParts, { mapping, sightings }: Surroundings): MappingView {
  if (mapping !== "endpoint-independent") return mapping;
  const own = new Set(parts.host.addresses.map(({ ip }) => ip));
  const foreign = sightings.filter(({ seen }) => !own.has(seen.ip));
  const isAgreed = foreign.some(({ observer, seen }) =>
    foreign.some((other) => other.observer !== observer && sameEndpoint(other.seen, seen)),
  );
  return isAgreed ? mapping : "unknown";
}

function udpView({ membership, peers, wallOffset }: ViewParts, now: Millis): UdpView {
  const answers: Millis[] = [];
  let isSilent = false;
  for (const node of membership.members.keys()) {
    const peer = peers.peer(node);
    if (peer === undefined) continue;
    const answeredAt = Math.max(0, ...peer.candidates.all().map((facts) => facts.answeredAt ?? 0));
    const hasAnswered = answeredAt > 0 && now - answeredAt < LATELY;
    // The host may have lost its network since.
    if (hasAnswered && !isUnreached(peer.path)) answers.push(answeredAt);
    else
      isSilent ||= isUnreached(peer.path) || peer.candidates.all().some(({ askedAt }) => askedAt !== undefined && now - askedAt < LATELY);
  }
  if (answers.length === 0) return { state: isSilent ? "silent" : "unknown", answeredBy: 0 };
  return { state: "works", answeredBy: answers.length, answeredAt: Math.max(...answers) + wallOffset };
}

function seenView(parts: ViewParts, { sightings }: Surroundings): readonly SeenView[] {
  const views = new Map<string, SeenView>();
  for (const { observer, seen, saidAt } of sightings) {
    const endpoint = formatEndpoint(seen);
    const before = views.get(endpoint);
    const by = [...(before?.by ?? []), nameOf(parts, observer)].sort();
    views.set(endpoint, { endpoint, by, at: Math.max(before?.at ?? 0, saidAt + parts.wallOffset) });
  }
  return [...views.values()].sort((a, b) => (a.endpoint < b.endpoint ? -1 : 1));
}

function ipv6View({ host, trust }: ViewParts, lately: readonly CandidateFacts[]): Ipv6View {
  const isGlobal = (ip: (typeof host.addresses)[number]["ip"]): boolean =>
    ipFamily(ip) === 6 && !isPrivate(ip) && !isMeshAddress(trust.plan, ip);
  const works = lately.some(({ candidate }) => candidate.type === "direct" && isGlobal(candidate.endpoint.ip));
  return { addresses: host.addresses.flatMap(({ ip }) => (isGlobal(ip) ? [ip] : [])), works };
}

/** As a relay a member counts by its straight path alone. */
function relayView(parts: ViewParts, { node, every }: Surroundings["homes"][number]): RelayView {
  const straight = (parts.peers.peer(node)?.candidates.all() ?? []).filter(({ candidate }) => candidate.type === "direct");
  const last = straight.reduce<CandidateFacts | undefined>((best, facts) => (isLater(facts, best) ? facts : best), undefined);
  return {
    name: nameOf(parts, node),
    id: node,
    answers: last !== undefined && isAnswering(last),
    ...(last !== undefined && { path: candidateText(last.candidate, namesIn(parts)) }),
    ...(last?.rtt !== undefined && { rttMs: last.rtt }),
    ...(last?.answeredAt !== undefined && { answeredAt: last.answeredAt + parts.wallOffset }),
    ...(every !== undefined && { everyMs: every }),
  };
}

/** What answered is more telling than what was only asked. */
function isLater(facts: CandidateFacts, best: CandidateFacts | undefined): boolean {
  if (best === undefined) return true;
  if (facts.answeredAt !== best.answeredAt) return (facts.answeredAt ?? 0) > (best.answeredAt ?? 0);
  return (facts.askedAt ?? 0) > (best.askedAt ?? 0);
}
