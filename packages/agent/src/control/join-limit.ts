import type { Ip, Millis } from "@mesh/core/ports";
import { Pace } from "./pace.ts";
import { type Source, sourceOf } from "./source.ts";

/** Join attempts that may run at once: each holds a connection for up to 30 s and costs a Noise handshake (1 ms of CPU). */
export const MAX_CONCURRENT_JOINS = 8;
/** Of one source: the losers of a joiner's race of endpoints end at once, and nobody can hold all places alone. */
export const MAX_CONCURRENT_PER_SOURCE = 2;
/** Attempts one source may make in a row: a joiner that reaches one member by several of its addresses makes a few. */
export const JOIN_BURST = 5;
/** Then one more each of these: 5 in 10 s. */
export const JOIN_INTERVAL: Millis = 2_000;
/** Attempts beyond these limits that are answered all the same, at once … */
export const MAX_CONCURRENT_REFUSED = 4;
/** … and at least this far apart: 1 % of a core for their handshakes, whoever asks how often. */
export const REFUSED_INTERVAL: Millis = 100;
/** The pace and the running attempts of each source. */
export class JoinLimit {
  readonly #pace = new Pace<Source>({ burst: JOIN_BURST, interval: JOIN_INTERVAL });
  /** The source of each attempt that runs. */
  readonly #running: Source[] = [];
  #refusing = 0;
  #refusedAt: Millis = Number.NEGATIVE_INFINITY;

  /** undefined: refused. Otherwise call the result when the attempt is over. */
  enter(ip: Ip, now: Millis): (() => void) | undefined {
    const source = sourceOf(ip);
    const own = this.#running.filter((one) => one === source).length;
    if (this.#running.length >= MAX_CONCURRENT_JOINS || own >= MAX_CONCURRENT_PER_SOURCE) return undefined;
    if (!this.#pace.take(source, now)) return undefined;
    this.#running.push(source);
    return once(() => {
      this.#running.splice(this.#running.indexOf(source), 1);
    });
  }

  /** For an attempt that was refused. undefined: it is not answered. Otherwise call the result when it was. */
  enterRefused(now: Millis): (() => void) | undefined {
    if (this.#refusing >= MAX_CONCURRENT_REFUSED || now - this.#refusedAt < REFUSED_INTERVAL) return undefined;
    this.#refusing += 1;
    this.#refusedAt = now;
    return once(() => {
      this.#refusing -= 1;
    });
  }
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) act();
    isDone = true;
  };
}
