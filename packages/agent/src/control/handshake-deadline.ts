import type { MessageStream, MultiaddrConnection } from "@libp2p/interface";
import type { Clock, Millis } from "@mesh/core/ports";

/**
 * For an inbound connection to have shown that it is a member's, or to have begun to ask to join. libp2p's own limit for
 * upgrades cannot be this short: a join exchange waits for people's machines.
 */
const HANDSHAKE_TIMEOUT: Millis = 6_000;

/** Hangs up on strangers that connect and say nothing: they would hold one of the few places for pending connections. */
export class HandshakeDeadline {
  readonly #clock: Clock;
  readonly #onMissed: (connection: MessageStream) => void;
  readonly #pending = new Map<MessageStream, () => void>();

  /** `onMissed` is called before it hangs up. */
  constructor(clock: Clock, onMissed: (connection: MessageStream) => void) {
    this.#clock = clock;
    this.#onMissed = onMissed;
  }

  started(connection: MultiaddrConnection): void {
    const hangUp = (): void => {
      this.#onMissed(connection);
      connection.abort(new Error("no handshake in time"));
    };
    this.#pending.set(connection, this.#clock.at(this.#clock.now() + HANDSHAKE_TIMEOUT, hangUp));
    connection.addEventListener("close", () => this.met(connection), { once: true });
  }

  met(connection: MessageStream): void {
    this.#pending.get(connection)?.();
    this.#pending.delete(connection);
  }

  close(): void {
    for (const connection of [...this.#pending.keys()]) this.met(connection);
  }
}
