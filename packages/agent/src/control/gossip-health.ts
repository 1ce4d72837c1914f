/**
 * Does gossip with one linked peer really deliver? What is seen of it, and what is to be done; gossip-keeper.ts gives it eyes and hands.
 *
 * Two things are looked at: `flows`, what both routers' books and the streams say, which costs nothing and can be wrong; and the answer
 * to a question that goes through the topic itself (gossip-hello.ts), which cannot.
 *
 * | phase    | seen                        | becomes  | does                                                          |
 * |----------|-----------------------------|----------|---------------------------------------------------------------|
 * | opening  | flows                       | asking   | ready, ask                                                    |
 * | opening  | 1 s is over                 | rising   | ready                                                         |
 * | opening  | reduced, and 0.5 s are over | failing  | ready, and as any failure                                     |
 * | rising   | flows                       | asking   | ask                                                           |
 * | rising   | 5 s more are over           | failing  | a failure                                                     |
 * | others   | answered, and it flows      | proven   | healed, if it was settling or failing before                  |
 * | asking   | 3 s are over, or no flow    | failing  | a failure                                                     |
 * | proven   | doubted                     | asking   | ask                                                           |
 * | proven   | no flow                     | failing  | a failure                                                     |
 * | rising, asking, proven | reduced       | settling | nothing: one of several connections closed, its streams may move over |
 * | settling | flows                       | asking   | ask                                                           |
 * | settling | 0.5 s are over              | failing  | a failure                                                     |
 * | failing  | flows, fewer than 5 failures | asking  | ask                                                           |
 * | failing  | flows, 5 or more            | failing  | ask                                                           |
 * | failing  | its wait is over            | failing  | a failure                                                     |
 *
 * A failure: the smaller node heals the streams at once, the larger one from its second failure in a row on (both at once would reset
 * each other's new streams). From the fifth in a row on the connection goes instead, if it may (`mayCut`), and the pace is one a minute.
 */
import type { Millis } from "@mesh/core/ports";

export interface GossipHealth {
  readonly phase: "opening" | "rising" | "asking" | "proven" | "settling" | "failing";
  /** When the phase is to end if nothing is seen; Infinity: never. */
  readonly until: Millis;
  /** In a row, since it was proven. */
  readonly failures: number;
  /** Records may have been lost since it was proven last. */
  readonly hasGap: boolean;
}

export type GossipSeen = "looked" | "answered" | "doubted" | "reduced";

export interface GossipView {
  readonly seen: GossipSeen;
  readonly flows: boolean;
  readonly now: Millis;
  readonly isSelfSmaller: boolean;
  readonly mayCut: boolean;
}

export interface GossipStep {
  readonly health: GossipHealth;
  readonly does: readonly ("ready" | "ask" | "heal" | "cut" | "proven" | "healed")[];
  /** When to look again. */
  readonly lookAt: Millis;
}

/** A link is told of at the latest after this, and its gossip is left to come up by itself for as long as HEAL_TIMEOUT. */
export const READY_TIMEOUT: Millis = 1_000;
/** For an answer: a round trip, and two retransmissions by TCP (RFC 6298: 1 s, then 2 s less what a round trip takes). */
export const ANSWER_TIMEOUT: Millis = 3_000;
/** For streams to move over to a connection that stays, which they do by themselves when that one is just being identified. */
export const SETTLE_TIMEOUT: Millis = 500;
/** The larger node's before its first healing: by then that of the smaller one has begun. */
export const LARGER_WAIT: Millis = 2_000;
/** For streams to come up: identify, two multistream negotiations and a subscription are five round trips, 3 s by satellite; a shorter time would break them off for ever. */
export const HEAL_TIMEOUT: Millis = 5_000;
/** From this failure on the connection is given up, or the pace is slow. */
export const MAX_FAILURES = 5;
export const SLOW_HEAL: Millis = 60_000;
/** While something is expected any moment. */
const SOON: Millis = 20;
/** A reset stream is noticed by no event; a mesh of 50 links costs 150 map look-ups each time. */
export const ROUTINE_LOOK: Millis = 5_000;

export function newGossipHealth(now: Millis): GossipHealth {
  return { phase: "opening", until: now + READY_TIMEOUT, failures: 0, hasGap: false };
}

export function stepGossip(health: GossipHealth, view: GossipView): GossipStep {
  const { seen, flows, now } = view;
  const { phase } = health;
  const isOver = now >= health.until;
  if (seen === "answered" && flows && phase !== "opening") return proven(health, now);
  if (seen === "reduced" && phase !== "failing" && phase !== "settling") {
    const until = Math.min(health.until, now + SETTLE_TIMEOUT);
    return waiting({ ...health, phase: phase === "opening" ? phase : "settling", until, hasGap: true }, now);
  }
  switch (phase) {
    case "opening":
      if (flows) return withReady(asking(health, now));
      if (!isOver) return waiting(health, now);
      if (health.hasGap) return withReady(failing(health, view));
      return withReady(waiting({ ...health, phase: "rising", until: now + HEAL_TIMEOUT, hasGap: true }, now));
    case "rising":
    case "settling":
      if (flows) return asking(health, now);
      return isOver ? failing(health, view) : waiting(health, now);
    case "asking":
      return isOver || !flows ? failing(health, view) : { health, does: [], lookAt: health.until };
    case "proven":
      if (!flows) return failing(health, view);
      return seen === "doubted" ? asking(health, now) : { health, does: [], lookAt: now + ROUTINE_LOOK };
    case "failing":
      if (flows && health.failures < MAX_FAILURES) return asking(health, now);
      if (isOver) return failing(health, view);
      if (health.failures < MAX_FAILURES) return waiting(health, now);
      return { health, does: flows ? ["ask"] : [], lookAt: Math.min(health.until, now + ROUTINE_LOOK) };
  }
}

type Does = GossipStep["does"];

function waiting(health: GossipHealth, now: Millis): GossipStep {
  return { health, does: [], lookAt: Math.min(health.until, now + SOON) };
}

function withReady(step: GossipStep): GossipStep {
  return { ...step, does: ["ready", ...step.does] };
}

function asking(health: GossipHealth, now: Millis): GossipStep {
  const until = now + ANSWER_TIMEOUT;
  return { health: { ...health, phase: "asking", until }, does: ["ask"], lookAt: until };
}

function proven({ hasGap }: GossipHealth, now: Millis): GossipStep {
  const health: GossipHealth = { phase: "proven", until: Number.POSITIVE_INFINITY, failures: 0, hasGap: false };
  return { health, does: hasGap ? ["proven", "healed"] : ["proven"], lookAt: now + ROUTINE_LOOK };
}

function failing(health: GossipHealth, { now, isSelfSmaller, mayCut }: GossipView): GossipStep {
  const failures = health.failures + 1;
  const isHopeless = failures >= MAX_FAILURES;
  const heals = isSelfSmaller || failures > 1;
  const until = now + (isHopeless ? SLOW_HEAL : heals ? HEAL_TIMEOUT : LARGER_WAIT);
  const does: Does = isHopeless && mayCut ? ["cut"] : heals ? ["heal"] : [];
  return { health: { phase: "failing", until, failures, hasGap: true }, does, lookAt: now + (isHopeless ? ROUTINE_LOOK : SOON) };
}
