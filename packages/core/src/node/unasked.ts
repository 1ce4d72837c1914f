import type { Endpoint } from "../address/endpoint.ts";
import { type Ip, isPrivate } from "../address/ip.ts";
import { BoundedMap } from "../bytes/bounded-map.ts";
import { type Millis, minutes } from "../time/millis.ts";

/** A NAT or firewall that we opened by sending there may let the answer in for so long; home routers forget UDP after 30 s to 5 min. */
const OPEN_FOR: Millis = minutes(6);
const MAX_REMEMBERED = 4_096;

/**
 * Whether this node can be reached unasked. Proof is an authentic PING from a public address that nothing was sent to for
 * OPEN_FOR: neither a NAT (its filtering goes by address at most, RFC 4787 section 5) nor a firewall of our own stands before it.
 */
export class Unasked {
  readonly #sentTo = new BoundedMap<Ip, Millis>(MAX_REMEMBERED);
  #isReachable = false;

  get isReachable(): boolean {
    return this.#isReachable;
  }

  /** Proven by an earlier run. */
  assume(): void {
    this.#isReachable = true;
  }

  sent(to: Ip, now: Millis): void {
    this.#sentTo.set(to, now);
  }

  /** Before anything is sent back. True when this is the first proof. */
  heard(from: Ip, now: Millis): boolean {
    if (this.#isReachable || isPrivate(from)) return false;
    const sentAt = this.#sentTo.get(from);
    this.#isReachable = sentAt === undefined || now - sentAt > OPEN_FOR;
    return this.#isReachable;
  }

  /** Our own addresses changed. A host without a public one is behind a NAT that it does not know yet. */
  moved(own: readonly Endpoint[]): void {
    if (own.every(({ ip }) => isPrivate(ip))) this.#isReachable = false;
  }
}
