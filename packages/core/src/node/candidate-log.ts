import { BoundedMap } from "../bytes/bounded-map.ts";
import { type Candidate, formatCandidate, MAX_ENDPOINTS_TRIED, MAX_RELAYS_TRIED } from "../path/candidate.ts";
import type { PathEvent } from "../path/path-state.ts";
import type { Millis } from "../time/millis.ts";

/** All that are tried at once, and a few that were: enough to explain a change of a moment ago. */
export const MAX_CANDIDATES_KEPT: number = MAX_ENDPOINTS_TRIED + MAX_RELAYS_TRIED + 4;

/** What became of one candidate. Instants are boot time; undefined: it never happened, or it is forgotten. */
export interface CandidateFacts {
  readonly candidate: Candidate;
  readonly askedAt: Millis | undefined;
  readonly answeredAt: Millis | undefined;
  /** Of the last answer, as it was measured. */
  readonly rtt: Millis | undefined;
  /** A PING or a handshake of the peer came this way. */
  readonly heardAt: Millis | undefined;
}

/** What was asked of one peer's candidates and what came of it, for people. No rule looks at it. */
export class CandidateLog {
  readonly #facts = new BoundedMap<string, CandidateFacts>(MAX_CANDIDATES_KEPT);

  /** A PING left for it. */
  asked(candidate: Candidate, now: Millis): void {
    this.#change(candidate, { askedAt: now });
  }

  /** What happened to the path; most of it is no candidate's matter. */
  note(event: PathEvent, now: Millis): void {
    if (event.type === "answered") this.#change(event.candidate, { answeredAt: now, rtt: event.rtt });
    if (event.type === "heard") this.#change(event.from, { heardAt: now });
  }

  of(candidate: Candidate): CandidateFacts | undefined {
    return this.#facts.get(formatCandidate(candidate));
  }

  all(): readonly CandidateFacts[] {
    return [...this.#facts.entries()].map(([, facts]) => facts);
  }

  #change(candidate: Candidate, change: Partial<CandidateFacts>): void {
    const key = formatCandidate(candidate);
    const before = this.#facts.get(key) ?? { candidate, askedAt: undefined, answeredAt: undefined, rtt: undefined, heardAt: undefined };
    this.#facts.set(key, { ...before, ...change });
  }
}

/** It answered what it was asked last. */
export function isAnswering({ askedAt, answeredAt }: CandidateFacts): boolean {
  return answeredAt !== undefined && (askedAt === undefined || answeredAt >= askedAt);
}
