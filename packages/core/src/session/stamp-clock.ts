import { compareBytes } from "../bytes/bytes.ts";
import type { Millis } from "../time/millis.ts";
import { STAMP_LEAD, STAMP_STEP_RESERVE } from "./constants.ts";
import { encodeTai64n, nextTai64n, tai64nWallAt } from "./tai64n.ts";

// A peer takes no initiation whose stamp is not above the last one it took from us, and it remembers that longer than we
// do. So stamps rise for each peer, over restarts too, whatever the wall clock says: none is used above a ceiling that
// is durable, and after a restart all are above that ceiling, then called the floor.
//
//   stamp    = wall time while that is at most ceiling - STAMP_STEP_RESERVE, but above the peer's last stamp;
//              else the least one above the peer's last stamp, or above the floor when it had none in this run
//   ceiling >= wall time + STAMP_LEAD, or the highest stamp used + STAMP_STEP_RESERVE, whichever is more, when reserved;
//              reserved again when half of either is used up
//
// - The wall clock goes on: a reservation of ten minutes is renewed by the first stamp needed in its last five, so a node
//   writes at most every five minutes, and a node that needs none writes nothing.
// - It is ahead of all that is reserved, after a long rest or because it was set: stamps step from where they were, one in
//   17 ms, until the write is done. The reserve is 600 steps for each peer: no handshake waits.
// - It is behind, for a day or after a restart for the lead: stamps step from the floor. A peer gets an initiation at most
//   every 5 s, so steps are slower than time and the wall clock catches up.
// - A run begins with floor = ceiling, so nothing can be stamped before the first reservation: that is the only wait, and it
//   is as long as the write.
// - A restart moves the ceiling by no more than max(0, STAMP_STEP_RESERVE - time since the last one) beyond wall time +
//   STAMP_LEAD: restarts more than 10 s apart never run ahead.

/** Stamps of our initiations, 12 B each (TAI64N). */
export class StampClock {
  readonly #floor: Uint8Array | undefined;
  #ceiling: Millis;
  #highest: Millis;
  /** Asked for, and not yet said to be durable. */
  #asked: Millis | undefined;
  #wallOffset: Millis = 0;

  /**
   * `floor`: the last ceiling that became durable, as wall time, 0 when there was none. undefined: stamps need not rise
   * over restarts, nothing is ever reserved.
   */
  constructor(floor: Millis | undefined) {
    this.#floor = floor === undefined ? undefined : encodeTai64n(floor);
    this.#ceiling = floor ?? Number.POSITIVE_INFINITY;
    this.#highest = floor ?? 0;
  }

  /** Wall time less boot time. Until it was told, wall time is taken for 1970. */
  setWallOffset(offset: Millis): void {
    this.#wallOffset = offset;
  }

  /** The stamp after `previous`, which is the peer's last one; undefined: there is none before a reservation is durable. */
  next(previous: Uint8Array | undefined, now: Millis): Uint8Array | undefined {
    const wallAt = now + this.#wallOffset;
    const isReserved = wallAt <= this.#ceiling - STAMP_STEP_RESERVE;
    const stamp = nextTai64n(previous ?? this.#floor, isReserved ? wallAt : 0);
    if (this.#ceiling === Number.POSITIVE_INFINITY) return stamp;
    if (compareBytes(stamp, encodeTai64n(this.#ceiling)) > 0) return undefined;
    this.#highest = Math.max(this.#highest, tai64nWallAt(stamp));
    return stamp;
  }

  /** The ceiling that is to be made durable now; undefined when there is room, or when one is on its way. */
  reservation(now: Millis): Millis | undefined {
    const wallAt = now + this.#wallOffset;
    const isWanted = wallAt > this.#ceiling - STAMP_LEAD / 2 || this.#highest > this.#ceiling - STAMP_STEP_RESERVE / 2;
    if (!isWanted || this.#asked !== undefined) return undefined;
    this.#asked = Math.ceil(Math.max(wallAt + STAMP_LEAD, this.#highest + STAMP_STEP_RESERVE));
    return this.#asked;
  }

  /** That ceiling is durable. */
  reserved(until: Millis): void {
    this.#ceiling = Math.max(this.#ceiling, until);
    if (this.#asked !== undefined && until >= this.#asked) this.#asked = undefined;
  }
}
