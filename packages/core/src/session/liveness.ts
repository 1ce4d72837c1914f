import type { Millis } from "../time/millis.ts";
import { KEEPALIVE_TIMEOUT, SILENCE_TIMEOUT } from "./constants.ts";
import type { TrafficStamps } from "./session-event.ts";

/**
 * WireGuard's two passive timers of one peer (whitepaper section 6.5), fed by stamps instead of packets: when data was
 * sent and nothing came back, the session is presumed lost; when data was received and nothing was sent, a keepalive
 * tells the peer that it is not. Only data starts a timer, so keepalives never answer each other.
 *
 * Stamps come about twice a second, so a timer counts from the latest packet before the first stamp, at most that
 * much too late. All instants are 0 until they happened.
 *
 * wireguard-go remembers whether more data came while a keepalive was due, and starts the timer again when it has sent one
 * (needAnotherKeepalive). Nothing here needs it: a keepalive answers all data before it, and data after it starts the timer.
 */
export interface Liveness {
  /** Anything authentic from the peer, handshake messages included. */
  readonly heardAt: Millis;
  /** Anything authentic to the peer, handshake messages included. */
  readonly sentAt: Millis;
  /** The peer has been silent since data was sent to it: at this instant, start a handshake. */
  readonly silentAt?: Millis;
  /** Nothing has been sent since data was received: at this instant, send a keepalive. */
  readonly keepaliveAt?: Millis;
}

export const UNHEARD: Liveness = { heardAt: 0, sentAt: 0 };

/** `jitter` is drawn when a silence begins. */
export function recordTraffic(liveness: Liveness, stamps: TrafficStamps, jitter: () => Millis): Liveness {
  const met = recordSent(recordHeard(liveness, stamps.authenticatedReceivedAt), stamps.authenticatedSentAt);
  const silentAt = met.silentAt ?? (stamps.dataSentAt > met.heardAt ? stamps.dataSentAt + SILENCE_TIMEOUT + jitter() : undefined);
  const keepaliveAt = met.keepaliveAt ?? (stamps.dataReceivedAt > met.sentAt ? stamps.dataReceivedAt + KEEPALIVE_TIMEOUT : undefined);
  return {
    heardAt: met.heardAt,
    sentAt: met.sentAt,
    ...(silentAt !== undefined && { silentAt }),
    ...(keepaliveAt !== undefined && { keepaliveAt }),
  };
}

export function recordHeard(liveness: Liveness, at: Millis): Liveness {
  if (at <= liveness.heardAt) return liveness;
  const { silentAt: _, ...rest } = liveness;
  return { ...rest, heardAt: at };
}

export function recordSent(liveness: Liveness, at: Millis): Liveness {
  if (at <= liveness.sentAt) return liveness;
  const { keepaliveAt: _, ...rest } = liveness;
  return { ...rest, sentAt: at };
}

/** The timer went off: it starts again with the next data. */
export function clearSilent(liveness: Liveness): Liveness {
  const { silentAt: _, ...rest } = liveness;
  return rest;
}
