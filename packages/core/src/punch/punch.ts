import type { Endpoint } from "../address/endpoint.ts";
import type { SocketId } from "../address/way.ts";
import { type Candidate, formatCandidate } from "../path/candidate.ts";
import type { Millis } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { PortPlan, ProbePurpose, PunchStep } from "../wire/probe.ts";

/** What a search with further sockets wants done; all of it concerns the one peer that it looks for. */
export type PunchEffect =
  /** So many further sockets; {@link Punch.opened} follows. */
  | { readonly type: "open"; readonly count: number }
  /** A relay is asked which port this socket has outside. */
  | { readonly type: "sample"; readonly socket: SocketId }
  | { readonly type: "ping"; readonly to: Candidate; readonly purpose: ProbePurpose; readonly ttl?: number }
  /** To the peer, by relay. */
  | { readonly type: "say"; readonly step: PunchStep; readonly ports?: PortPlan }
  /** The peer answered a PING of ours by this way: packets may go there. */
  | { readonly type: "found"; readonly candidate: Candidate; readonly rtt: Millis };

/** `met`: a way was found. `vain`: none was. `busy`: the peer is looking for somebody else. */
export type PunchOutcome = "met" | "vain" | "busy";

/** One search for one peer, without I/O: what happens goes in with its instant, effects come out. After its outcome it does nothing. */
export interface Punch {
  /** Its further sockets; all are to be closed after it, but the one that is kept. */
  readonly sockets: ReadonlySet<SocketId>;
  /** Packets go by this one, or the peer's do. */
  readonly kept: SocketId | undefined;
  /** undefined: it goes on. */
  readonly outcome: PunchOutcome | undefined;
  /** Probes by this way are its own, and tell the peer's path nothing yet. */
  owns(candidate: Candidate): boolean;
  start(now: Millis): readonly PunchEffect[];
  /** Fewer than were asked for, or none, where there are no more. */
  opened(sockets: readonly SocketId[], now: Millis): readonly PunchEffect[];
  sampled(socket: SocketId, seen: Endpoint, now: Millis): readonly PunchEffect[];
  said(step: PunchStep, ports: PortPlan | undefined, now: Millis): readonly PunchEffect[];
  /** Its PONG is sent by others. */
  pinged(from: Candidate, purpose: ProbePurpose, now: Millis): readonly PunchEffect[];
  ponged(from: Candidate, rtt: Millis, now: Millis): readonly PunchEffect[];
  timer(now: Millis): readonly PunchEffect[];
  wakeAt(): Millis | undefined;
}

/** A hit is precious: what may be answered there is asked again and again, while both ends' NATs still know of it. */
export const CHECKS: readonly Millis[] = [0, 50, 150, 350, 750, 1_500];
/** What is said by relay is said thrice, unless it is heard sooner: one lost datagram is no reason to give up. */
export const SAYINGS: readonly Millis[] = [0, 300, 900];
export const SAMPLINGS: readonly Millis[] = [0, 150, 500];

/** Effects that are repeated on a schedule until they are stopped. */
export class Repeats {
  readonly #lines = new Map<string, { readonly effect: PunchEffect; readonly at: readonly Millis[]; step: number }>();

  get size(): number {
    return this.#lines.size;
  }

  /** `after`: when, counted from now. Replaces what has the same key. */
  start(key: string, effect: PunchEffect, after: readonly Millis[], now: Millis): void {
    this.#lines.set(key, { effect, at: after.map((span) => now + span), step: 0 });
  }

  check(candidate: Candidate, now: Millis): void {
    const key = formatCandidate(candidate);
    if (!this.#lines.has(key)) this.start(key, { type: "ping", to: candidate, purpose: "triggered" }, CHECKS, now);
  }

  stop(key: string): void {
    this.#lines.delete(key);
  }

  clear(): void {
    this.#lines.clear();
  }

  /** Those that are due, each once however late it is. */
  due(now: Millis): readonly PunchEffect[] {
    return [...this.#lines].flatMap(([key, line]) => {
      if ((line.at[line.step] ?? Number.POSITIVE_INFINITY) > now) return [];
      const next = line.at.findIndex((at) => at > now);
      if (next === -1) this.#lines.delete(key);
      else line.step = next;
      return [line.effect];
    });
  }

  wakeAt(): Millis | undefined {
    return earliest(...[...this.#lines.values()].map(({ at, step }) => at[step]));
  }
}
