/**
 * Places for inbound connections that are not a member's yet, nor a joiner's:
 *
 *   started                     → silent: first bytes within 1.5 s
 *   → first bytes               → speaking: the rest of the handshake within 6 s of the start
 *   → met, or closed            → its place is free
 *   no bytes, or not met        → hung up on: "handshake-timeout"
 *   one more than its source may have, or than there are places → the oldest of that source, or of the source with the
 *                                 most, makes room: "connection-limit". Silent ones go first.
 */
import type { MessageStream, MultiaddrConnection } from "@libp2p/interface";
import type { Clock, ControlRefusal, Millis } from "@mesh/core/ports";
import { endpointOf } from "./multiaddr.ts";
import { type Source, sourceOf } from "./source.ts";

/** A dialler speaks first, right behind its SYN: a round trip, and one retransmission by TCP (RFC 6298: 1 s at first). */
export const FIRST_BYTES_TIMEOUT: Millis = 1_500;
/**
 * For an inbound connection to have shown that it is a member's, or to have begun to ask to join. libp2p's own limit for
 * upgrades cannot be this short: a join exchange waits for people's machines.
 */
export const HANDSHAKE_TIMEOUT: Millis = 6_000;
/** All sources together. */
export const MAX_PENDING = 64;
/** Of one source. Honest handshakes take a few round trips, so members behind one address seldom need this many at once. */
export const MAX_PENDING_PER_SOURCE = 8;

interface Pending {
  readonly source: Source;
  isSilent: boolean;
  cancel: () => void;
}

/** Hangs up on strangers that hold a place and do not get on. */
export class HandshakeDeadline {
  readonly #clock: Clock;
  readonly #onHungUp: (connection: MessageStream, cause: ControlRefusal) => void;
  /** The oldest first. */
  readonly #pending = new Map<MessageStream, Pending>();

  /** `onHungUp` is called before it hangs up. */
  constructor(clock: Clock, onHungUp: (connection: MessageStream, cause: ControlRefusal) => void) {
    this.#clock = clock;
    this.#onHungUp = onHungUp;
  }

  /** To be called before anything else reads from the connection. */
  started(connection: MultiaddrConnection): void {
    const source = sourceOf(endpointOf(connection.remoteAddr).ip);
    const evicted = this.#inTheWayOf(source);
    if (evicted !== undefined) this.#hangUp(evicted, "connection-limit");
    const startedAt = this.#clock.now();
    const hangUpAt = (timeout: Millis): (() => void) =>
      this.#clock.at(startedAt + timeout, () => this.#hangUp(connection, "handshake-timeout"));
    const pending: Pending = { source, isSilent: true, cancel: hangUpAt(FIRST_BYTES_TIMEOUT) };
    this.#pending.set(connection, pending);
    const onBytes = (): void => {
      if (this.#pending.get(connection) !== pending) return;
      pending.cancel();
      pending.isSilent = false;
      pending.cancel = hangUpAt(HANDSHAKE_TIMEOUT);
    };
    connection.addEventListener("message", onBytes, { once: true });
    connection.addEventListener("close", () => this.met(connection), { once: true });
  }

  met(connection: MessageStream): void {
    this.#pending.get(connection)?.cancel();
    this.#pending.delete(connection);
  }

  close(): void {
    for (const connection of [...this.#pending.keys()]) this.met(connection);
  }

  #hangUp(connection: MessageStream, cause: ControlRefusal): void {
    this.met(connection);
    this.#onHungUp(connection, cause);
    connection.abort(new Error(cause === "handshake-timeout" ? "no handshake in time" : "too many connections"));
  }

  #inTheWayOf(source: Source): MessageStream | undefined {
    const bySource = Map.groupBy(this.#pending, ([, pending]) => pending.source);
    const own = bySource.get(source) ?? [];
    if (own.length >= MAX_PENDING_PER_SOURCE) return oldest(own);
    if (this.#pending.size < MAX_PENDING) return undefined;
    return oldest([...bySource.values()].reduce((busiest, one) => (one.length > busiest.length ? one : busiest), own));
  }
}

function oldest(pending: readonly (readonly [MessageStream, Pending])[]): MessageStream | undefined {
  return (pending.find(([, { isSilent }]) => isSilent) ?? pending[0])?.[0];
}
