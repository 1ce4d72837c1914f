// What becomes of a datagram that asks to be relayed, in the order of cost. The native engine does the same.
//
//   1. members    its header names two of them, not one twice, with the sender's pass; it came from where the sender's own
//                 packets go; what it carries is not for a relay again                                       else relayNotAllowed
//   2. way        the receiver has one, and it is straight: one hop only                                     else relayNoWay
//   3. budget     of the sender, in bytes with the header                                                    else relayOverLimit
//   4. passed on  under the other kind and without the pass                                                  relayedPackets, relayedBytes

import { sameEndpoint } from "../address/endpoint.ts";
import type { RelayHeader, Way } from "../address/way.ts";
import { type DatapathCounter, MAX_PEERS, type PeerSlot, RELAY_BURST, type RelayMember, type RelayTable } from "../ports/datapath.ts";
import type { Millis } from "../time/millis.ts";
import { datagramKind } from "../wire/datagram-kind.ts";
import { RELAY_HEADER_BYTES } from "../wire/relay-header.ts";
import { type Rate, RateBucket } from "./source-buckets.ts";
import { isUpTo, U16_MAX, U32_MAX } from "./ways.ts";

/** However slow the rate: one batch of a sender's packets passes. */
const SMALLEST_BURST_BYTES = 64 * 1024;

export interface RelayRequest {
  /** By which it came. */
  readonly from: Way;
  readonly header: RelayHeader;
  readonly carried: Uint8Array;
}

export type RelayVerdict =
  | { readonly pass: true; readonly way: Way }
  | { readonly pass: false; readonly counter: Extract<DatapathCounter, `relayN${string}` | "relayOverLimit"> };

interface Member extends RelayMember {
  readonly budget: RateBucket;
}

/** Whom this node relays for, and how much. */
export class RelayDesk {
  #byNumber: ReadonlyMap<number, Member> = new Map();
  #bytesPerSecond = 0;
  readonly #firstWayOf: (slot: PeerSlot) => Way | undefined;

  constructor(firstWayOf: (slot: PeerSlot) => Way | undefined) {
    this.#firstWayOf = firstWayOf;
  }

  /** Throws RangeError for what cannot be a table, and then changes nothing. */
  setTable(table: RelayTable, now: Millis): void {
    checkRelayTable(table);
    const rate = relayRate(table.bytesPerSecond);
    const budgets = new Map([...this.#byNumber.values()].map(({ slot, budget }) => [slot, budget] as const));
    for (const budget of budgets.values()) budget.changeRate(rate);
    const members = table.members.map((member) => ({ ...member, budget: budgets.get(member.slot) ?? new RateBucket(rate, now) }));
    this.#byNumber = new Map(members.map((member) => [member.number, member]));
    this.#bytesPerSecond = table.bytesPerSecond;
  }

  judge({ from, header, carried }: RelayRequest, now: Millis): RelayVerdict {
    const sender = this.#byNumber.get(header.from);
    const receiver = this.#byNumber.get(header.to);
    if (sender === undefined || receiver === undefined || sender === receiver) return refused("relayNotAllowed");
    if (sender.pass !== header.pass || !this.#isAt(sender, from) || isRelayKind(carried)) return refused("relayNotAllowed");
    const way = this.#firstWayOf(receiver.slot);
    if (way === undefined || way.relay !== undefined) return refused("relayNoWay");
    const isWithinLimit = this.#bytesPerSecond > 0 && sender.budget.take(now, RELAY_HEADER_BYTES + carried.length);
    return isWithinLimit ? { pass: true, way } : refused("relayOverLimit");
  }

  #isAt({ slot }: Member, from: Way): boolean {
    const way = this.#firstWayOf(slot);
    return way !== undefined && way.relay === undefined && sameEndpoint(way.endpoint, from.endpoint);
  }
}

/** To be relayed, or relayed: nothing that a relayed datagram may carry. */
export function isRelayKind(datagram: Uint8Array): boolean {
  const kind = datagramKind(datagram);
  return kind === "to-relay" || kind === "from-relay";
}

/** Throws RangeError. A slot without a peer is none: it has no way. */
export function checkRelayTable({ members, bytesPerSecond }: RelayTable): void {
  if (!Number.isSafeInteger(bytesPerSecond) || bytesPerSecond < 0) throw new RangeError(`no rate: ${bytesPerSecond} B/s`);
  for (const { slot, number, pass } of members) {
    if (!isUpTo(slot, MAX_PEERS - 1)) throw new RangeError(`no slot ${slot}: slots are 0 to ${MAX_PEERS - 1}`);
    if (!isUpTo(number, U16_MAX) || number === 0) throw new RangeError(`no node's number: ${number}`);
    if (!isUpTo(pass, U32_MAX)) throw new RangeError(`no pass: ${pass}`);
  }
  for (const one of ["slot", "number"] as const) {
    if (new Set(members.map((member) => member[one])).size < members.length) throw new RangeError(`two members have one ${one}`);
  }
}

function relayRate(bytesPerSecond: number): Rate {
  return { burst: Math.max(Math.floor((bytesPerSecond * RELAY_BURST) / 1_000), SMALLEST_BURST_BYTES), perSecond: bytesPerSecond };
}

function refused(counter: Extract<RelayVerdict, { pass: false }>["counter"]): RelayVerdict {
  return { pass: false, counter };
}
