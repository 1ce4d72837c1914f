import { type AddressPlan, address4, address6, isMeshAddress, subnet4, subnet6 } from "../address/address-plan.ts";
import { type Endpoint, formatEndpoint, sameEndpoint } from "../address/endpoint.ts";
import { ipFamily, isUnicast } from "../address/ip.ts";
import { formatPrefix, prefixesOverlap } from "../address/prefix.ts";
import type { CandidateFate, CandidateOrigin, CandidateView, OwnerView, WhyPathView, WhyView } from "../api/why-view.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { Member } from "../membership/membership.ts";
import {
  type Candidate,
  direct,
  isTcpEndpoint,
  isUsableCandidate,
  MAX_ENDPOINTS_TRIED,
  relayed,
  sameCandidate,
} from "../path/candidate.ts";
import type { PathState } from "../path/path-state.ts";
import type { EndpointRecord } from "../records/endpoint-record.ts";
import type { Millis } from "../time/millis.ts";
import { type CandidateFacts, isAnswering } from "./candidate-log.ts";
import { findMember, targetPrefix } from "./find-member.ts";
import { mappingView } from "./netcheck-view.ts";
import type { KnownPeer } from "./peer.ts";
import { age, candidateText, pathOf, pathText, peerState } from "./peer-state.ts";
import { nameOf, namesIn, type ViewParts, type ViewSources } from "./views.ts";

/** Throws MeshError `peer/unknown` or `peer/ambiguous`. */
export function whyView(parts: ViewParts, target: string, { now }: ViewSources): WhyView {
  const { trust, membership, peers, id } = parts;
  const member = findMember(target, { members: membership.members, plan: trust.plan, self: id });
  const around = peers.surroundings(now);
  const mapping = mappingView(parts, around);
  const records = new Map(parts.endpointRecords().map((record) => [record.node, record]));
  const record = records.get(member.id);
  const peer = peers.peer(member.id);
  const known: Known = { parts, member, peer, records, now, ownHomes: around.homes.map(({ node }) => node) };
  const candidates = [...directCandidates(known), ...relayCandidates(known)].sort((a, b) => RANKS.indexOf(a.fate) - RANKS.indexOf(b.fate));
  const names = (nodes: readonly NodeId[]): readonly string[] => nodes.map((node) => nameOf(parts, node));
  return {
    version: 1,
    target,
    owner: ownerView(known, target),
    path: pathView(known, { candidates, isVarying: mapping === "endpoint-dependent" }),
    candidates,
    here: { mapping, reachable: around.isReachable, homes: names(known.ownHomes) },
    ...(record !== undefined && {
      there: { reachable: record.isReachable, relays: record.isRelay, homes: names(record.homes), stopped: record.isStopped },
    }),
  };
}

const RANKS: readonly CandidateFate[] = ["in-use", "answered", "unanswered", "untried", "refused"];

interface Known {
  readonly parts: ViewParts;
  readonly member: Member;
  /** undefined: its key is not usable, or there are more peers than slots. */
  readonly peer: KnownPeer | undefined;
  readonly records: ReadonlyMap<NodeId, EndpointRecord>;
  readonly ownHomes: readonly NodeId[];
  readonly now: Millis;
}

function ownerView({ parts, member }: Known, target: string): OwnerView {
  const { trust } = parts;
  const { number, role, issuer, serial, generation, assignedWallAt } = member.certificate;
  const wanted = targetPrefix(target);
  const prefixes = [subnet4(trust.plan, number), subnet6(trust.plan, number)];
  const holds = (prefix: (typeof prefixes)[number]): boolean =>
    wanted === undefined || (ipFamily(prefix.ip) === ipFamily(wanted.ip) && prefixesOverlap(prefix, wanted));
  return {
    name: member.name,
    id: member.id,
    number,
    role,
    address4: address4(trust.plan, number),
    address6: address6(trust.plan, number),
    prefixes: prefixes.filter(holds).map(formatPrefix),
    routed: !member.isConflicted,
    certificate: {
      ...(issuer !== trust.statement.root && { issuer: nameOf(parts, issuer) }),
      issuerId: issuer,
      serial,
      generation,
      assignedAt: assignedWallAt,
    },
  };
}

// The path

function pathView(
  known: Known,
  { candidates, isVarying }: { readonly candidates: readonly CandidateView[]; readonly isVarying: boolean },
): WhyPathView {
  const { parts, member, peer, now } = known;
  const isLinked = parts.links.has(member.id);
  if (peer === undefined)
    return { kind: "none", state: "unknown", text: "not usable as a peer", reason: "its key is none, or this node has too many peers" };
  const { state } = peer.path;
  // A suspect path is no way any more until it has answered.
  const used = state.name === "suspect" ? undefined : pathOf(peer.path);
  const inUse = state.name === "dormant" ? undefined : used;
  const names = namesIn(parts);
  const hint = hintOf(state, member.name);
  return {
    kind: used === undefined ? "none" : used.candidate.type,
    state: peerState(peer.path, isLinked),
    text: inUse === undefined ? pathText(peer.path, { now, ...names }) : candidateText(inUse.candidate, names),
    reason: member.isConflicted ? "another node holds its number, and packets go there" : reasonOf(known, state, { candidates, isVarying }),
    ...(hint !== undefined && { hint }),
    ...(used !== undefined && { rttMs: used.rtt, rttAt: used.measuredAt + parts.wallOffset }),
  };
}

function reasonOf(
  { member, records, now }: Known,
  state: PathState,
  { candidates, isVarying }: { readonly candidates: readonly CandidateView[]; readonly isVarying: boolean },
): string {
  switch (state.name) {
    case "direct": {
      const { candidate } = state.path;
      const isTcp = candidate.type === "direct" && isTcpEndpoint(candidate.endpoint);
      if (isTcp) return "UDP gets no answer here; TCP is left as soon as a path by UDP answers";
      return "it answers there, and a straight path is taken before any relay";
    }
    case "relayed": {
      const isOpen = records.get(member.id)?.isReachable === true;
      const why = isVarying && !isOpen ? ["the NAT here gives each destination another port"] : [];
      const { search } = state;
      const next = search?.name === "waiting" ? `tried again in ${age(search.retryAt - now)}` : "looked for now";
      return [silence(candidates), ...why, `a direct path is ${next}`].join("; ");
    }
    case "suspect":
      return "it has stopped answering there; all candidates are asked now";
    case "probing":
      return `${state.failedAt === undefined ? "nothing has answered yet" : silence(candidates)}; all candidates are asked now`;
    case "failed":
      return `${silence(candidates)}; tried again in ${age(state.retryAt - now)}, or when it is heard`;
    case "dormant":
      if (state.last !== undefined) return "it answered there last, and nobody needs it now; the next packet goes there and asks";
      return candidates.length === 0 ? "it has not said where it is" : "nobody needed it yet; the first packet looks for a path";
    case "stopped":
      return "it said goodbye; it says where it is when it starts again";
  }
}

function hintOf(state: PathState, name: string): string | undefined {
  switch (state.name) {
    case "relayed":
      return "`mesh netcheck` at both ends says what stands in the way.";
    case "failed":
      return "Is it on, and its agent running? `mesh netcheck` says whether UDP works here.";
    case "dormant":
      return state.last === undefined ? `Try it: mesh ping ${name}` : undefined;
    case "direct":
    case "suspect":
    case "probing":
    case "stopped":
      return undefined;
  }
}

/** Of the endpoints that were asked, that none answers. */
function silence(candidates: readonly CandidateView[]): string {
  const silent = candidates.filter(({ endpoint, fate }) => endpoint !== undefined && fate === "unanswered").length;
  if (silent === 0) return "no address of its own was asked";
  return silent === 1 ? "its one address that was asked does not answer" : `none of its ${silent} addresses that were asked answers`;
}

// Candidates

function directCandidates(known: Known): readonly CandidateView[] {
  const { parts, member, peer, records } = known;
  const record = records.get(member.id);
  const claimed = [...(record?.reflexive ?? []), ...(record?.udp ?? [])];
  const tried = peer?.path.endpoints ?? [];
  const remembered = (peer?.candidates.all() ?? []).flatMap(({ candidate }) => (candidate.type === "direct" ? [candidate.endpoint] : []));
  const endpoints = [...claimed, ...tried, ...remembered].filter(
    (endpoint, i, all) => all.findIndex((one) => sameEndpoint(one, endpoint)) === i,
  );
  return endpoints.map((endpoint) => {
    const isTried = tried.some((one) => sameEndpoint(one, endpoint));
    const isClaimed = claimed.some((one) => sameEndpoint(one, endpoint));
    const used = peer === undefined ? undefined : pathOf(peer.path)?.candidate;
    // Perhaps by a further socket.
    const candidate = used?.type === "direct" && sameEndpoint(used.endpoint, endpoint) ? used : direct(endpoint);
    const facts = peer?.candidates.of(candidate);
    const learnt = facts?.heardAt === undefined ? "offered" : "heard";
    const isTcp = isTcpEndpoint(endpoint) && !isClaimed;
    const refusal = isTcp || isUsableCandidate(parts.trust.plan, endpoint) ? undefined : refusalOf(parts.trust.plan, endpoint);
    return {
      endpoint: isTcp ? "tcp" : formatEndpoint(endpoint),
      origin: isClaimed ? "published" : isTried ? learnt : "earlier",
      ...fateOf(known, candidate, { refusal, untried: isTried ? whyNotYet(peer?.path.state) : whyNever(peer?.path.state) }),
    };
  });
}

function relayCandidates(known: Known): readonly CandidateView[] {
  const { parts, member, peer, records, ownHomes } = known;
  const itsHomes = records.get(member.id)?.homes ?? [];
  const tried = peer?.path.relays ?? [];
  const remembered = (peer?.candidates.all() ?? []).flatMap(({ candidate }) => (candidate.type === "relay" ? [candidate.relay] : []));
  const relays = [...new Set([...itsHomes, ...ownHomes, ...tried, ...remembered])].filter((relay) => relay !== member.id);
  return relays.map((relay) => {
    const origin: CandidateOrigin = itsHomes.includes(relay) ? "its-home" : ownHomes.includes(relay) ? "own-home" : "open";
    const refusal = refusalOfRelay(known, relay);
    const isReached = parts.peers.peer(relay)?.path.state.name === "direct";
    const notYet = tried.includes(relay) ? whyNotYet(peer?.path.state) : "others come first";
    const untried = isReached ? notYet : "no direct path leads to it from here";
    return { relay: nameOf(parts, relay), origin, ...fateOf(known, relayed(relay), { refusal, untried }) };
  });
}

function fateOf(
  { peer, parts }: Known,
  candidate: Candidate,
  reasons: { readonly refusal: string | undefined; readonly untried: string },
): Omit<CandidateView, "endpoint" | "relay" | "origin"> {
  const facts = peer?.candidates.of(candidate);
  const state = peer?.path.state;
  const times = facts === undefined ? {} : timesOf(facts, parts.wallOffset);
  const isInUse = (state?.name === "direct" || state?.name === "relayed") && sameCandidate(state.path.candidate, candidate);
  if (isInUse) return { fate: "in-use", ...times };
  if (reasons.refusal !== undefined) return { fate: "refused", reason: reasons.refusal, ...times };
  if (facts !== undefined && isAnswering(facts)) return { fate: "answered", ...times };
  if (facts?.askedAt !== undefined) return { fate: "unanswered", ...times };
  return { fate: "untried", reason: reasons.untried, ...times };
}

function timesOf(
  { askedAt, answeredAt, rtt }: CandidateFacts,
  wallOffset: Millis,
): Pick<CandidateView, "askedAt" | "answeredAt" | "rttMs"> {
  return {
    ...(askedAt !== undefined && { askedAt: askedAt + wallOffset }),
    ...(answeredAt !== undefined && { answeredAt: answeredAt + wallOffset }),
    ...(rtt !== undefined && { rttMs: rtt }),
  };
}

/** The words for what isUsableCandidate refuses. */
function refusalOf(plan: AddressPlan, { ip }: Endpoint): string {
  if (isMeshAddress(plan, ip)) return "it is inside the mesh";
  return isUnicast(ip) ? "ports below 1024 are not knocked at, but 443" : "it is no address of one host that others could reach";
}

function refusalOfRelay({ parts, records }: Known, relay: NodeId): string | undefined {
  if (relay === parts.id) return "it is this node itself";
  if (!parts.membership.members.has(relay)) return "it is no member of this network";
  return records.get(relay)?.isRelay === true ? undefined : "it does not relay";
}

function whyNotYet(state: PathState | undefined): string {
  switch (state?.name) {
    case "direct":
      return "a direct path answers";
    case "dormant":
      return "nobody needs the node now";
    case "stopped":
      return "it said goodbye";
    default:
      return "not yet";
  }
}

/** An endpoint of its record that is not among those tried. */
function whyNever(state: PathState | undefined): string {
  return state?.name === "stopped" ? "it said goodbye" : `only ${MAX_ENDPOINTS_TRIED} are tried`;
}
