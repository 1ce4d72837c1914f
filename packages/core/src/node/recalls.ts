import type { Way } from "../address/way.ts";
import { equalBytes } from "../bytes/bytes.ts";
import { isTcpEndpoint } from "../path/candidate.ts";
import type { PeerSlot } from "../ports/datapath.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { WakeQueue } from "../time/wake-queue.ts";
import type { ProbeBody } from "../wire/probe.ts";

/** A peer that asked to be called back, and where it asked from. */
export interface DueRecall {
  readonly slot: PeerSlot;
  readonly way: Way;
  readonly body: Extract<ProbeBody, { type: "recalled" }>;
}

/** No keepalive is as short, and what is to be done so soon could as well be an answer. */
const SOONEST: Millis = seconds(1);
/** A recall may be sent twice, so that loss does not pass for a NAT that forgot; then the call is made twice. */
const MAX_COPIES = 2;

/** Whom this node has been asked to call back, and when. Of each peer the last one counts. */
export class Recalls {
  readonly #pending = new Map<PeerSlot, DueRecall & { readonly dueAt: Millis; readonly copies: number }>();
  readonly #wakes = new WakeQueue<PeerSlot>();

  /** What comes by a relay or by TCP tells nothing of what the peer's own NAT does with UDP, and is not answered. */
  add(slot: PeerSlot, way: Way, { token, afterMillis }: Extract<ProbeBody, { type: "recall" }>, now: Millis): void {
    if (way.relay !== undefined || isTcpEndpoint(way.endpoint) || afterMillis < SOONEST) return;
    const last = this.#pending.get(slot);
    if (last !== undefined && equalBytes(last.body.token, token)) {
      this.#pending.set(slot, { ...last, copies: MAX_COPIES });
      return;
    }
    this.delete(slot);
    this.#pending.set(slot, { slot, way, body: { type: "recalled", token }, dueAt: now + afterMillis, copies: 1 });
    this.#wakes.schedule(slot, now + afterMillis);
  }

  delete(slot: PeerSlot): void {
    this.#pending.delete(slot);
    this.#wakes.remove(slot);
  }

  /** Each as often as it is to be called. */
  takeDue(now: Millis): readonly DueRecall[] {
    const due: DueRecall[] = [];
    for (let slot = this.#wakes.takeDue(now); slot !== undefined; slot = this.#wakes.takeDue(now)) {
      const recall = this.#pending.get(slot);
      this.#pending.delete(slot);
      if (recall !== undefined) due.push(...Array.from({ length: recall.copies }, () => recall));
    }
    return due;
  }

  wakeAt(): Millis | undefined {
    return this.#wakes.nextAt();
  }
}
