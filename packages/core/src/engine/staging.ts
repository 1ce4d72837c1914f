import { type PeerSlot, STAGED_PACKETS } from "../ports/datapath.ts";
import { REKEY_ATTEMPT_TIME } from "../session/constants.ts";
import type { Millis } from "../time/millis.ts";

/** Staged packets of all peers: 16 peers can be full at once, then the oldest of all goes. 2,048 x 1.5 KB = 3 MB. */
export const STAGED_IN_ALL = 2_048;
/** When a handshake has been tried for so long, what waited for it is stale. */
export const STAGED_FOR: Millis = REKEY_ATTEMPT_TIME;
/** The longest packet that can wait is the MTU, rounded up to this: what the native engine sets aside for each. */
const ROOM_MULTIPLE = 64;

interface Staged {
  readonly slot: PeerSlot;
  readonly at: Millis;
  readonly packet: Uint8Array;
}

/**
 * Packets that wait for a session or a way: per peer first in, first out, at most STAGED_PACKETS; over all at most
 * STAGED_IN_ALL, where the oldest of any peer makes room.
 */
export class Staging {
  readonly #packetBytes: number;
  readonly #queues = new Map<PeerSlot, Staged[]>();
  /** All that wait, oldest first. */
  readonly #all = new Set<Staged>();

  constructor(mtu: number) {
    this.#packetBytes = Math.ceil(mtu / ROOM_MULTIPLE) * ROOM_MULTIPLE;
  }

  waiting(slot: PeerSlot): number {
    return this.#queues.get(slot)?.length ?? 0;
  }

  /** Adds a copy. Returns how many packets were dropped: older ones to make room, or this one when it is too long. */
  stage(slot: PeerSlot, packet: Uint8Array, now: Millis): number {
    if (packet.length > this.#packetBytes) return 1;
    const [oldest] = this.#all;
    const crowded = this.waiting(slot) === STAGED_PACKETS ? slot : this.#all.size === STAGED_IN_ALL ? oldest?.slot : undefined;
    if (crowded !== undefined) this.take(crowded);
    const staged = { slot, at: now, packet: packet.slice() };
    const queue = this.#queues.get(slot);
    if (queue === undefined) this.#queues.set(slot, [staged]);
    else queue.push(staged);
    this.#all.add(staged);
    return crowded === undefined ? 0 : 1;
  }

  /** Takes the slot's oldest packet. */
  take(slot: PeerSlot): Uint8Array | undefined {
    const queue = this.#queues.get(slot);
    const first = queue?.shift();
    if (first === undefined) return undefined;
    if (queue?.length === 0) this.#queues.delete(slot);
    this.#all.delete(first);
    return first.packet;
  }

  /** Drops the slot's packets staged before `at`. Returns how many. */
  dropOlder(slot: PeerSlot, at: Millis): number {
    let dropped = 0;
    for (let first = this.#queues.get(slot)?.[0]; first !== undefined && first.at < at; first = this.#queues.get(slot)?.[0]) {
      this.take(slot);
      dropped++;
    }
    return dropped;
  }
}
