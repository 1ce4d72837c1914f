import type { Endpoint } from "../address/endpoint.ts";
import type { RelayHeader, SocketId, Way } from "../address/way.ts";
import { MAX_SOCKETS, MAX_WAYS } from "../ports/datapath.ts";

/** A way as the devices see it: by which socket, and to or from where. */
export interface Hop {
  readonly endpoint: Endpoint;
  readonly socket: SocketId;
}

export const U16_MAX = 0xffff;
export const U32_MAX = 0xffff_ffff;

/** Throws RangeError for numbers that are none of their kind. Whether its socket is open is not asked. */
export function checkWay({ socket = 0, relay }: Way): void {
  if (!isUpTo(socket, MAX_SOCKETS - 1)) throw new RangeError(`no socket ${socket}: sockets are 0 to ${MAX_SOCKETS - 1}`);
  if (relay !== undefined && !isRelayHeader(relay)) throw new RangeError(`no relay header: ${relay.from} > ${relay.to}, ${relay.pass}`);
}

/** Throws RangeError when so many are too many, or one of them cannot be. */
export function checkWays(ways: readonly Way[], isOpen: (socket: SocketId) => boolean): void {
  if (ways.length > MAX_WAYS) throw new RangeError(`${ways.length} ways are too many: ${MAX_WAYS} at most`);
  for (const way of ways) {
    checkWay(way);
    if (!isOpen(way.socket ?? 0)) throw new RangeError(`socket ${way.socket} is not open`);
  }
}

/** Throws RangeError unless it is one that an IP header can carry. */
export function checkTtl(ttl: number | undefined): void {
  if (ttl !== undefined && !(ttl >= 1 && isUpTo(ttl, 255))) throw new RangeError(`no TTL: ${ttl}`);
}

function isRelayHeader({ from, to, pass }: RelayHeader): boolean {
  return isUpTo(from, U16_MAX) && isUpTo(to, U16_MAX) && isUpTo(pass, U32_MAX);
}

/** A whole number from 0 on. */
export function isUpTo(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}
