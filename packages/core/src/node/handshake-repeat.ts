import type { NodeId } from "../ids/node-id.ts";
import { sameCandidate } from "../path/candidate.ts";
import type { PeerSlot } from "../ports/datapath.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { Peer } from "./peer.ts";
import { provenOf } from "./peer-state.ts";

/** A handshake message takes a busy node longer to answer than a PING. */
const ANSWERED_WITHIN: Millis = 50;
/** A relay that does not know us where we are asks at once. */
const ASKED_WITHIN: Millis = seconds(1);
/** The same message once more, so long after our answer to the relay: what overtakes that answer is not passed on. */
const REPEATED_AFTER: readonly Millis[] = [0, 20, 60];

/**
 * A way works that an initiation may have been lost on before, or did not take: when it is to be repeated. At once where it went only
 * to places that nothing was known of, else when an answer would have come: a new one makes the answer to the last worthless.
 * WireGuard alone would wait 5 s. undefined: nothing is proven.
 */
export function repeatAfterProof({ path, handshake }: Peer, now: Millis): Millis | undefined {
  const proven = provenOf(path);
  if (proven === undefined) return undefined;
  const mayHaveCome = handshake.by.some((candidate) => candidate.type === "relay" || sameCandidate(candidate, proven.candidate));
  return mayHaveCome ? handshake.sentAt + 2 * proven.rtt + ANSWERED_WITHIN : now;
}

interface SentHandshakes {
  /** When the last one left, to whomever. */
  readonly lastHandshakeAt: Millis;
  peers(): Iterable<readonly [PeerSlot, Peer]>;
}

/** A handshake message that a relay did not pass on, to be sent by it again. */
export interface LostHandshake {
  readonly slot: PeerSlot;
  readonly relay: NodeId;
  readonly bytes: Uint8Array;
}

/**
 * A relay that asks whether we are here passes nothing on from here until it has that answer, and did not pass on what went by it
 * before. The same bytes go by it again, thrice for each message: a copy that came already is dropped as a replay, and the answer to it is
 * still good.
 */
export class LostHandshakes {
  readonly #repeats = new Map<string, LostHandshake & { readonly dueAt: readonly Millis[] }>();

  /** The relay asks, and is answered now. */
  asked(relay: NodeId, paths: SentHandshakes, now: Millis): void {
    // Anybody can ask all the time, and the peers are many.
    if (now >= paths.lastHandshakeAt + ASKED_WITHIN) return;
    for (const [slot, { handshake }] of paths.peers()) {
      const { bytes, by, repeatedBy, sentAt } = handshake;
      const wentByIt = by.some((candidate) => candidate.type === "relay" && candidate.relay === relay);
      if (!wentByIt || now >= sentAt + ASKED_WITHIN || repeatedBy.has(relay)) continue;
      repeatedBy.add(relay);
      this.#repeats.set(`${slot} ${relay}`, { slot, relay, bytes, dueAt: REPEATED_AFTER.map((after) => now + after) });
    }
  }

  /** A session is there, or the peer gone. */
  delete(slot: PeerSlot): void {
    for (const [key, repeat] of this.#repeats) if (repeat.slot === slot) this.#repeats.delete(key);
  }

  takeDue(now: Millis): readonly LostHandshake[] {
    const due = [...this.#repeats].filter(([, { dueAt }]) => dueAt.some((at) => at <= now));
    for (const [key, repeat] of due) {
      const dueAt = repeat.dueAt.filter((at) => at > now);
      if (dueAt.length > 0) this.#repeats.set(key, { ...repeat, dueAt });
      else this.#repeats.delete(key);
    }
    return due.map(([, repeat]) => repeat);
  }

  wakeAt(): Millis | undefined {
    return earliest(...[...this.#repeats.values()].flatMap(({ dueAt }) => dueAt));
  }
}
