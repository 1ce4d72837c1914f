import type { Clock, Endpoint, Millis } from "@mesh/core/ports";
import { withDeadline } from "./deadline.ts";

/**
 * Head start of each endpoint before the next is tried beside it: RFC 8305 section 5 (250 ms). libp2p itself tries one
 * after the other, so that two silent addresses before the good one fail the whole dial.
 */
export const HEAD_START: Millis = 250;
/** For one endpoint, TCP and handshake: two retransmitted SYNs (after 1 and 3 s) and a handshake fit. */
export const ENDPOINT_TIMEOUT: Millis = 5_000;

interface Race<T> {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  dial(endpoint: Endpoint, signal: AbortSignal): Promise<T>;
  /** Takes back what a loser still finished. */
  discard(late: T): void;
}

/** The first endpoint, in order of preference, whose dial succeeds. Rejects with what each of them said. */
export async function raceEndpoints<T>(endpoints: readonly Endpoint[], race: Race<T>): Promise<T> {
  const { clock } = race;
  race.signal.throwIfAborted();
  const losers = new AbortController();
  const outcome = Promise.withResolvers<T>();
  const errors: unknown[] = [];
  let isDecided = false;
  let started = 0;
  let cancelHeadStart = (): void => {};

  const startNext = (): void => {
    cancelHeadStart();
    const endpoint = endpoints[started];
    if (isDecided || endpoint === undefined) return;
    started += 1;
    cancelHeadStart = clock.at(clock.now() + HEAD_START, startNext);
    withDeadline({ clock, timeout: ENDPOINT_TIMEOUT, signal: losers.signal }, async (signal) => {
      const result = await race.dial(endpoint, signal);
      if (signal.aborted) race.discard(result);
      return result;
    }).then(win, lose);
  };
  // Outside of the deadline: Node destroys a socket whose signal is aborted, also long after it has connected.
  const win = (result: T): void => {
    if (isDecided) race.discard(result);
    isDecided = true;
    outcome.resolve(result);
  };
  const lose = (error: unknown): void => {
    errors.push(error);
    if (errors.length < endpoints.length) startNext();
    else outcome.reject(new AggregateError(errors, errors.map((one) => (one instanceof Error ? one.message : String(one))).join("; ")));
  };
  const onAbort = (): void => {
    isDecided = true;
    outcome.reject(race.signal.reason);
  };

  if (endpoints.length === 0) throw new Error("no endpoint to dial");
  race.signal.addEventListener("abort", onAbort, { once: true });
  startNext();
  try {
    return await outcome.promise;
  } finally {
    isDecided = true;
    cancelHeadStart();
    race.signal.removeEventListener("abort", onAbort);
    losers.abort(new Error("another endpoint was faster"));
  }
}
