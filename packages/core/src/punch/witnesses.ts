import { type Ip, ipFamily, isPrivate } from "../address/ip.ts";
import { BoundedMap } from "../bytes/bounded-map.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Millis, seconds } from "../time/millis.ts";

/** Members that must have seen a peer at an address before anybody scans there; one where the mesh has no second one to ask. */
export const WITNESSES = 2;
/** More than are needed, because some may not have heard of the peer lately. */
export const MAX_ASKED = 4;
/** A word older than this says nothing of now. */
const GOOD_FOR: Millis = seconds(30);
const MAX_PEERS_ASKED_FOR = 64;

/**
 * Where third parties see a peer. A peer's own word is not enough: by naming a victim's address, it could make others send
 * hundreds of PINGs there. Nor is the word of somebody who was not asked.
 */
export class Witnesses {
  readonly #asked = new BoundedMap<
    number,
    { readonly witnesses: readonly NodeId[]; readonly needed: number; readonly askedAt: Millis; readonly seen: Map<NodeId, Ip> }
  >(MAX_PEERS_ASKED_FOR);

  /**
   * `number`: the peer's. `relays`: who is asked, none of them the peer. `inMesh`: so many members of the mesh could be asked at all. Returns
   * whom to ask now.
   */
  ask(number: number, options: { readonly relays: readonly NodeId[]; readonly inMesh: number; readonly now: Millis }): readonly NodeId[] {
    const { relays, inMesh, now } = options;
    const witnesses = relays.slice(0, MAX_ASKED);
    this.#asked.set(number, { witnesses, needed: inMesh > 1 ? WITNESSES : 1, askedAt: now, seen: new Map() });
    return witnesses;
  }

  /** Who has not answered yet. */
  silent(number: number): readonly NodeId[] {
    const asked = this.#asked.get(number);
    return asked === undefined ? [] : asked.witnesses.filter((witness) => !asked.seen.has(witness));
  }

  /** A word of each counts, the first one. */
  located(witness: NodeId, said: { readonly number: number; readonly ip: Ip }, now: Millis): void {
    const asked = this.#asked.get(said.number);
    if (asked === undefined || !asked.witnesses.includes(witness) || now >= asked.askedAt + GOOD_FOR) return;
    if (!asked.seen.has(witness)) asked.seen.set(witness, said.ip);
  }

  /** Whether enough of them see the peer there. Only public IPv4 addresses: behind one of those a NAT gives ports. */
  confirm(number: number, ip: Ip, now: Millis): boolean {
    const asked = this.#asked.get(number);
    if (asked === undefined || ipFamily(ip) !== 4 || isPrivate(ip) || now >= asked.askedAt + GOOD_FOR) return false;
    return [...asked.seen.values()].filter((seen) => seen === ip).length >= asked.needed;
  }
}
