import type { Way } from "../address/way.ts";
import type { PeerSlot } from "../ports/datapath.ts";
import type { Millis } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { ProbeBody } from "../wire/probe.ts";

/** A peer that asked to be called back, and where it asked from. */
export interface DueRecall {
  readonly slot: PeerSlot;
  readonly way: Way;
  readonly body: Extract<ProbeBody, { type: "recalled" }>;
}

/** Whom this node has been asked to call back, and when. Of each peer the last one counts. */
export class Recalls {
  readonly #pending = new Map<PeerSlot, DueRecall & { readonly dueAt: Millis }>();

  /** What comes by a relay tells nothing of the peer's own NAT, and is not answered. */
  add(slot: PeerSlot, way: Way, { token, afterMillis }: Extract<ProbeBody, { type: "recall" }>, now: Millis): void {
    if (way.relay === undefined) this.#pending.set(slot, { slot, way, body: { type: "recalled", token }, dueAt: now + afterMillis });
  }

  delete(slot: PeerSlot): void {
    this.#pending.delete(slot);
  }

  takeDue(now: Millis): readonly DueRecall[] {
    const due = [...this.#pending.values()].filter(({ dueAt }) => dueAt <= now);
    for (const { slot } of due) this.#pending.delete(slot);
    return due;
  }

  wakeAt(): Millis | undefined {
    return earliest(...[...this.#pending.values()].map(({ dueAt }) => dueAt));
  }
}
