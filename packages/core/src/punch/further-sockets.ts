import type { SocketId } from "../address/way.ts";
import type { PeerSlot } from "../ports/datapath.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";

/** PINGs and packets under way may still arrive when nobody here needs the socket any more. */
export const LINGER: Millis = seconds(3);
/** The peer sends by it, and has not found out yet that we do not: its next PING on that path comes sooner. */
const LENT_FOR: Millis = seconds(60);

/** Which further sockets are open, for which peer, and until when. One that is held stays open. */
export class FurtherSockets {
  readonly #open = new Map<SocketId, { readonly slot: PeerSlot; closeAt: Millis | undefined }>();

  add(slot: PeerSlot, sockets: readonly SocketId[]): void {
    for (const socket of sockets) this.#open.set(socket, { slot, closeAt: undefined });
  }

  /** undefined: it is not open. */
  slotOf(socket: SocketId): PeerSlot | undefined {
    return this.#open.get(socket)?.slot;
  }

  has(slot: PeerSlot): boolean {
    for (const one of this.#open.values()) if (one.slot === slot) return true;
    return false;
  }

  /** Of this peer's sockets these are needed; any other closes after `linger`, unless it was to close sooner or is lent. */
  hold(slot: PeerSlot, held: ReadonlySet<SocketId>, options: { readonly now: Millis; readonly linger: Millis }): void {
    for (const [socket, one] of this.#open) {
      if (one.slot !== slot) continue;
      one.closeAt = held.has(socket) ? undefined : (one.closeAt ?? options.now + options.linger);
    }
  }

  /** The peer uses it, though we do not. One of each peer: of the others its PINGs keep none open. */
  lend(socket: SocketId, now: Millis): void {
    const one = this.#open.get(socket);
    if (one?.closeAt === undefined) return;
    for (const [other, { slot, closeAt }] of this.#open)
      if (other !== socket && slot === one.slot && closeAt !== undefined && closeAt > now + LINGER) return;
    one.closeAt = Math.max(one.closeAt, now + LENT_FOR);
  }

  /** Those whose time is over; they are not known any more. */
  takeClosed(now: Millis): readonly SocketId[] {
    const closed = [...this.#open].flatMap(([socket, { closeAt }]) => (closeAt !== undefined && closeAt <= now ? [socket] : []));
    for (const socket of closed) this.#open.delete(socket);
    return closed;
  }

  wakeAt(): Millis | undefined {
    return earliest(...[...this.#open.values()].map(({ closeAt }) => closeAt));
  }
}
