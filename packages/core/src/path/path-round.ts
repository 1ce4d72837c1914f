import { type Endpoint, sameEndpoint } from "../address/endpoint.ts";
import type { Millis } from "../time/millis.ts";
import type { ProbePurpose } from "../wire/probe.ts";
import { type Candidate, direct, relayed } from "./candidate.ts";
import { OPENING_TTL, type PathEffect, type PeerPath, type Round, roundEndsAt, stepAfter } from "./path-state.ts";

// One search for a straight path, line by line of its schedule: whom it asks, and how far the PINGs go.

/** Where the peer can be asked to help, or soon will be, our own NAT is opened first and nothing else; else its endpoints are tried as they are. */
export function begin(peer: PeerPath, failures: number, now: Millis): { readonly round: Round; readonly effects: readonly PathEffect[] } {
  const needsHelp = (peer.relays.length > 0 || peer.isRelayable) && (!peer.isReachable || failures > 0);
  if (!needsHelp) return { round: { kind: "knocking", sinceAt: now, step: 1 }, effects: pingEndpoints(peer) };
  return { round: { kind: "opening", sinceAt: now, step: 1 }, effects: [...pingEndpoints(peer, OPENING_TTL), ...offerByFirst(peer)] };
}

/** The next line of the round's schedule; no round: it is over. */
export function nextOfRound(
  peer: PeerPath,
  round: Round,
  now: Millis,
): { readonly round: Round | undefined; readonly effects: readonly PathEffect[] } {
  const isOver = now >= roundEndsAt(round);
  if (round.kind === "asking" && round.asked !== undefined && !isOver)
    return { round: { ...round, step: stepAfter(round.kind, round.sinceAt, now) }, effects: [ping(round.asked, "triggered")] };
  if (round.kind === "asking") return begin(peer, 0, now);
  if (isOver && round.kind === "opening") return { round: punching(now), effects: [...pingEndpoints(peer), ...offerByFirst(peer)] };
  if (isOver) return { round: undefined, effects: [] };
  const effects = round.kind === "opening" ? pingEndpoints(peer, OPENING_TTL) : pingEndpoints(peer);
  return { round: { ...round, step: stepAfter(round.kind, round.sinceAt, now) }, effects };
}

export function punching(now: Millis): Round {
  return { kind: "punching", sinceAt: now, step: 1 };
}

/** `ttl`: of those behind a NAT. */
export function pingEndpoints({ endpoints, own }: PeerPath, ttl?: number): readonly PathEffect[] {
  return endpoints.map((endpoint) => ping(direct(endpoint), "discover", isAmong(own, endpoint) ? undefined : ttl));
}

export function isAmong(endpoints: readonly Endpoint[], endpoint: Endpoint): boolean {
  return endpoints.some((one) => sameEndpoint(one, endpoint));
}

export function pingRelays({ relays }: PeerPath): readonly PathEffect[] {
  return relays.map((relay) => ping(relayed(relay), "discover"));
}

export function ping(to: Candidate, purpose: ProbePurpose, ttl?: number): PathEffect {
  return { type: "ping", to, purpose, ...(ttl !== undefined && { ttl }) };
}

export function offerByFirst({ relays }: PeerPath): readonly PathEffect[] {
  return relays.slice(0, 1).map((relay) => ({ type: "offer", by: relayed(relay), isAnswer: false }));
}
