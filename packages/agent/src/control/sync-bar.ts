import type { Millis, NodeId } from "@mesh/core/ports";

/** One rejected record may be a fault of an older version; the third within this time is meant. */
export const MAX_REJECTED = 3;
export const REJECTED_WINDOW: Millis = 600_000;
/** Its sender is not synced with for this long. Gossip, which judges by itself, still brings its records. */
export const BARRED_FOR: Millis = 600_000;
/** Members remembered; the one that was rejected longest ago makes room. */
export const MAX_REMEMBERED = 1_024;

interface Offender {
  readonly rejectedAt: readonly Millis[];
  readonly barredUntil: Millis;
}

/** Which members are not synced with, for having handed over records that core rejects. */
export class SyncBar {
  readonly #offenders = new Map<NodeId, Offender>();

  rejected(node: NodeId, now: Millis): void {
    const known = this.#offenders.get(node);
    const recent = (known?.rejectedAt ?? []).filter((at) => now - at < REJECTED_WINDOW);
    const rejectedAt = [...recent, now].slice(-MAX_REJECTED);
    const barredUntil = rejectedAt.length === MAX_REJECTED ? now + BARRED_FOR : (known?.barredUntil ?? now);
    this.#offenders.delete(node);
    this.#offenders.set(node, { rejectedAt, barredUntil });
    const oldest = this.#offenders.keys().next();
    if (this.#offenders.size > MAX_REMEMBERED && !oldest.done) this.#offenders.delete(oldest.value);
  }

  isBarred(node: NodeId, now: Millis): boolean {
    return now < (this.#offenders.get(node)?.barredUntil ?? now);
  }

  get remembered(): number {
    return this.#offenders.size;
  }
}
