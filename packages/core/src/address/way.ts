import { type Endpoint, formatEndpoint, sameEndpoint } from "./endpoint.ts";

/** How a datagram travels between this node and another: straight, or by way of a member that relays it. */
export interface Way {
  /** Where the other end of the first hop is: the other node, or the relay. */
  readonly endpoint: Endpoint;
  /** Of our sockets, the one that it leaves by or came in by; the first one unless told (see Datapath.openSockets). */
  readonly socket?: SocketId;
  /** What the relay is told of it, or told us. */
  readonly relay?: RelayHeader;
}

/** Names one UDP socket of the engine; 0 is the one that is always there. */
export type SocketId = number;

/** Whom a relayed datagram is from and for. Numbers of nodes, as the address plan has them. */
export interface RelayHeader {
  readonly from: number; // u16
  readonly to: number; // u16
  /** Known to sender and relay alone; 0 from the relay on (docs/paths.md). */
  readonly pass: number; // u32
}

export function sameWay(a: Way | undefined, b: Way | undefined): boolean {
  return (
    sameEndpoint(a?.endpoint, b?.endpoint) &&
    (a?.socket ?? 0) === (b?.socket ?? 0) &&
    a?.relay?.from === b?.relay?.from &&
    a?.relay?.to === b?.relay?.to &&
    a?.relay?.pass === b?.relay?.pass
  );
}

/** For maps and logs: `192.0.2.1:51820`, `192.0.2.1:51820 4>7`. */
export function formatWay({ endpoint, socket, relay }: Way): string {
  const by = socket === undefined || socket === 0 ? "" : `%${socket}`;
  return `${formatEndpoint(endpoint)}${by}${relay === undefined ? "" : ` ${relay.from}>${relay.to}`}`;
}
