import type { Way } from "../address/way.ts";
import type { PeerSlot, PeerTraffic } from "../ports/datapath.ts";
import type { Millis } from "../time/millis.ts";
import type { TransportSession } from "./transport-session.ts";

/**
 * One peer, for as long as its slot stays in the table, and the three places a session can be in. What an installed one
 * does to the others is WireGuard's (whitepaper, sections 5.4.4 and 6.3; wireguard-go's BeginSymmetricSession does the
 * same): when both ends initiate at once, both keep both.
 *
 *              next    current    previous
 *   initiator  —       new        next, or where there is none current; what is left over goes
 *   responder  new     stays      —
 *   confirmed  —       next       current
 */
export class EnginePeer {
  readonly slot: PeerSlot;
  /** Each packet leaves by all of them. */
  ways: readonly Way[] = [];
  /** The way follows the source of what is authenticated. */
  isRoaming = false;
  /** When a session was last wanted. */
  wantedAt: Millis | undefined;
  readonly traffic: { -readonly [K in keyof PeerTraffic]: number } = { ...NO_TRAFFIC };
  #next: TransportSession | undefined;
  #current: TransportSession | undefined;
  #previous: TransportSession | undefined;

  constructor(slot: PeerSlot) {
    this.slot = slot;
  }

  /** Newest first. */
  get sessions(): readonly TransportSession[] {
    return [this.#next, this.#current, this.#previous].filter((session) => session !== undefined);
  }

  /** The one that seals, if it still can. */
  sealing(now: Millis): TransportSession | undefined {
    return this.#current?.canSeal(now) === true ? this.#current : undefined;
  }

  /** Returns the sessions that it displaces. */
  install(session: TransportSession): readonly TransportSession[] {
    const before = this.sessions;
    if (session.role === "initiator") {
      this.#previous = this.#next ?? this.#current;
      this.#current = session;
      this.#next = undefined;
    } else {
      this.#previous = undefined;
      this.#next = session;
    }
    this.#countFrom(this.#current);
    const kept = this.sessions;
    return before.filter((old) => !kept.includes(old));
  }

  /** Whether a packet of this session would be the first one of a responder's. */
  awaitsConfirmation(session: TransportSession): boolean {
    return this.#next === session;
  }

  confirm(session: TransportSession): void {
    this.#previous = this.#current;
    this.#current = session;
    this.#next = undefined;
    this.#countFrom(session);
  }

  forget(session: TransportSession): void {
    if (this.#next === session) this.#next = undefined;
    if (this.#current === session) this.#current = undefined;
    if (this.#previous === session) this.#previous = undefined;
    this.#countFrom(this.#current);
  }

  #countFrom(session: TransportSession | undefined): void {
    this.traffic.sendCounter = Number(session?.sendCounter ?? 0n);
  }
}

export const NO_TRAFFIC: PeerTraffic = {
  sentBytes: 0,
  receivedBytes: 0,
  sentPackets: 0,
  receivedPackets: 0,
  dataSentAt: 0,
  dataReceivedAt: 0,
  authenticatedSentAt: 0,
  authenticatedReceivedAt: 0,
  sendCounter: 0,
};
