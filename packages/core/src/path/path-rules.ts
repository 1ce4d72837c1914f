import type { Millis } from "../time/millis.ts";
import { type PathInUse, type PathState, type PathStep, RETRY_INTERVALS, type Search } from "./path-state.ts";

// What step-path.ts decides by and what it makes of a state.

export type InUse = Extract<PathState, PathInUse>;

export function inUse(state: PathState): state is InUse {
  return state.name === "direct" || state.name === "relayed";
}

/** The engine's stamps do not tell by which way. */
export function heardByTraffic(state: InUse, heardAt: Millis): InUse {
  return state.isContested === true && state.asked > 0 ? { ...state, heardAt, unansweredAt: undefined } : fresh(state, heardAt);
}

/** Something authentic came over the path. */
export function fresh<State extends InUse>(state: State, heardAt: Millis): State {
  return { ...state, heardAt, unansweredAt: undefined, asked: 0 };
}

export function waiting(failures: number, now: Millis): Search {
  return { name: "waiting", retryAt: now + retryAfter(failures), failures: failures + 1 };
}

export function retryAfter(failures: number): Millis {
  return RETRY_INTERVALS[Math.min(failures, RETRY_INTERVALS.length - 1)] ?? 0;
}

export function failed(failedAt: Millis, now: Millis, failures: number): PathState {
  return { name: "failed", failedAt, triedAt: now, retryAt: now + retryAfter(failures - 1), failures };
}

/** A straight path is asked for the first time since packets by it are not answered. */
export function isFirstDoubt({ peer: { state }, effects }: PathStep): boolean {
  return state.name === "direct" && state.asked === 1 && state.unansweredAt !== undefined && effects.some(({ type }) => type === "ping");
}
