// One peer's path on simulated time, for the tests of step-path.ts.
import assert from "node:assert/strict";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import type { NodeId } from "../ids/node-id.ts";
import { MAX_WAYS } from "../ports/datapath.ts";
import type { SeededRandom } from "../testing/seeded-random.ts";
import type { Millis } from "../time/millis.ts";
import { type Candidate, direct, relayed } from "./candidate.ts";
import { NEW_PATH, type PathEffect, type PathEvent, type PathState, type PeerPath, pathWakeAt } from "./path-state.ts";
import { stepPath } from "./step-path.ts";

export const T: Millis = 100_000;
export const at = (last: number): Endpoint => ({ ip: `192.0.2.${last}` as Ip, port: 51_820 });
export const [X, Y, Z]: readonly [Candidate, Candidate, Candidate] = [direct(at(1)), direct(at(2)), direct(at(3))];
export const [R, S, Q]: readonly [NodeId, NodeId, NodeId] = ["r".repeat(64) as NodeId, "s".repeat(64) as NodeId, "q".repeat(64) as NodeId];
export const [BY_R, BY_S]: readonly [Candidate, Candidate] = [relayed(R), relayed(S)];

/** A peer of which two endpoints and one relay are known. */
export const KNOWN: PeerPath = { ...NEW_PATH, endpoints: [at(1), at(2)], relays: [R] };

export const direct1: Extract<PathState, { name: "direct" }> = {
  name: "direct",
  path: { candidate: X, rtt: 20, measuredAt: T },
  heardAt: T,
  activeAt: T,
  unansweredAt: undefined,
  asked: 0,
  askedAt: 0,
  search: undefined,
};
export const relayedByR: Extract<PathState, { name: "relayed" }> = {
  ...direct1,
  name: "relayed",
  path: { candidate: BY_R, rtt: 60, measuredAt: T },
  search: { name: "waiting", retryAt: T + 5_000, failures: 1 },
};

/** `discover 1`, `discover 1 ttl 4`, `discover by r`, `offer by r`, `answer by r`, `use 1, by r`. */
export function formatEffect(effect: PathEffect): string {
  switch (effect.type) {
    case "ping":
      return `${effect.purpose} ${nameOf(effect.to)}${effect.ttl === undefined ? "" : ` ttl ${effect.ttl}`}`;
    case "offer":
      return `${effect.isAnswer ? "answer" : "offer"} ${nameOf(effect.by)}`;
    case "use":
      return `use ${effect.candidates.map(nameOf).join(", ")}`;
  }
}

function nameOf(candidate: Candidate): string {
  return candidate.type === "direct" ? candidate.endpoint.ip.replace("192.0.2.", "") : `by ${candidate.relay[0]}`;
}

/** Timers fire when they are asked for; PINGs are answered at once or not at all. */
export class PathRun {
  peer: PeerPath;
  now: Millis = T;
  /** PINGs by these are answered. */
  answers: (to: Candidate) => boolean = () => false;
  readonly effects: { readonly now: Millis; readonly effect: PathEffect }[] = [];
  readonly enteredAt = new Map<PathState["name"], Millis>();

  constructor(peer: PeerPath) {
    this.peer = peer;
  }

  step(event: PathEvent, now: Millis): void {
    this.now = now;
    const before = this.peer.state.name;
    const { peer, effects } = stepPath(this.peer, event, now);
    this.peer = peer;
    if (peer.state.name !== before) this.enteredAt.set(peer.state.name, now);
    if (event.type === "timer") assert.ok((pathWakeAt(peer) ?? Number.POSITIVE_INFINITY) > now, "a busy loop");
    for (const effect of effects) if (effect.type === "use") assert.ok(effect.candidates.length <= MAX_WAYS, formatEffect(effect));
    this.effects.push(...effects.map((effect) => ({ now, effect })));
    const pinged = effects.find((effect) => effect.type === "ping" && effect.ttl === undefined && this.answers(effect.to));
    if (pinged?.type === "ping") this.step({ type: "answered", candidate: pinged.to, rtt: 1 }, now);
  }

  /** Fires every timer up to and at `end`. */
  until(end: Millis): void {
    for (let dueAt = pathWakeAt(this.peer); dueAt !== undefined && dueAt <= end; dueAt = pathWakeAt(this.peer))
      this.step({ type: "timer" }, Math.max(dueAt, this.now));
    this.now = Math.max(this.now, end);
  }

  /** Packets go out every 500 ms, and come in as often while there is a path, to the end or until it is so. */
  talkUntil(end: Millis, isSo: () => boolean = () => false): void {
    while (this.now < end && !isSo()) {
      const now = Math.min(end, this.now + 500);
      this.until(now);
      const { name } = this.peer.state;
      if (name === "direct" || name === "relayed")
        this.step({ type: "traffic", dataSentAt: now, dataReceivedAt: now, authenticatedReceivedAt: now }, now);
      else this.step({ type: "wanted" }, now);
    }
  }

  /** Since the last time, as `0 discover 1`: how long after T, and what. */
  take(): readonly string[] {
    return this.effects.splice(0).map(({ now, effect }) => `${now - T} ${formatEffect(effect)}`);
  }
}

export function randomEvent(random: SeededRandom, now: Millis): PathEvent {
  const endpoint = (): Endpoint => at(1 + random.below(30));
  const endpoints = (): readonly Endpoint[] => Array.from({ length: random.below(20) }, endpoint);
  const relays = (): readonly NodeId[] => [R, S, Q, "p".repeat(64) as NodeId].filter(() => random.below(2) === 0);
  const candidate = (): Candidate => (random.below(3) === 0 ? relayed(random.pick([R, S, Q]) ?? R) : direct(endpoint()));
  const ago = (): Millis => now - random.below(3_000);
  const events: readonly PathEvent[] = [
    { type: "wanted" },
    { type: "doubted" },
    { type: "heard", from: candidate() },
    { type: "answered", candidate: candidate(), rtt: random.below(5_000) },
    { type: "offered", from: candidate(), own: [], reflexive: endpoints(), isAnswer: random.below(2) === 0 },
    { type: "published", own: [], reflexive: endpoints(), isReachable: random.below(2) === 0, isKept: random.below(2) === 0 },
    { type: "relays", relays: relays(), isRelayable: true },
    { type: "keepalive", every: random.below(3) === 0 ? 20_000 : undefined },
    { type: "network-changed", retryAt: now + random.below(1_000) },
    { type: "stopped" },
    { type: "traffic", dataSentAt: ago(), dataReceivedAt: ago(), authenticatedReceivedAt: ago() },
  ];
  return random.pick(events) ?? { type: "timer" };
}
