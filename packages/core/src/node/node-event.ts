import type { Endpoint } from "../address/endpoint.ts";
import type { SocketId } from "../address/way.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { ControlEvent } from "../ports/control-plane.ts";
import type { NodeException, PeerSlot } from "../ports/datapath.ts";
import type { HostView } from "../ports/host-network.ts";
import type { TrafficStamps } from "../session/session-event.ts";
import type { Millis } from "../time/millis.ts";
import type { TcpWay } from "./tcp-ways.ts";

/** Everything that can happen to a node. The only way anything gets in. */
export type NodeEvent =
  /** Once, when engine and control plane are open and the wall clock was told: the node says what it wants of the world. */
  | { readonly type: "started"; readonly tcpPort: number }
  /** The agent is about to end: what waits to be written is written, and peers are told, if somebody wants it so; `stopped` follows. */
  | { readonly type: "stopping"; readonly isWanted: boolean }
  /** The `settle` asked for under this id is over; so many members have what was published before it. */
  | { readonly type: "settled"; readonly id: number; readonly members: number }
  /** Wall time minus boot time. At start and whenever it moved. */
  | { readonly type: "wall-clock"; readonly offset: Millis }
  /** The instant asked for by wakeAt came. */
  | { readonly type: "timer" }
  /** The write asked for under this id is durable. */
  | { readonly type: "persisted"; readonly id: number }
  /** The host's addresses or routes changed. */
  | { readonly type: "host"; readonly host: HostView }
  /** Routers lead these endpoints to the tunnel's UDP port now: all that there are; empty: none any more. */
  | { readonly type: "port-mapped"; readonly endpoints: readonly Endpoint[] }
  /** The connection asked for by `open-tcp-way` is there, with the loopback endpoints that lead to it; without `way`: it could not be made, or is gone. */
  | { readonly type: "tcp-way"; readonly node: NodeId; readonly way: TcpWay | undefined }
  /** Stamps of peers with traffic since the last time, about twice a second. */
  | { readonly type: "traffic"; readonly peers: readonly PeerStamps[] }
  /** Further UDP sockets that were asked for; fewer, or none, where there are no more. */
  | { readonly type: "sockets-opened"; readonly sockets: readonly SocketId[] }
  | { readonly type: "command"; readonly id: CommandId; readonly command: NodeCommand }
  | NodeException
  | ControlEvent;

export interface PeerStamps {
  readonly slot: PeerSlot;
  readonly stamps: TrafficStamps;
}

/** Names one command until its result. */
export type CommandId = number;

export type NodeCommand =
  | { readonly type: "invite"; readonly uses: number; readonly ttl: Millis }
  | { readonly type: "ping"; readonly target: string }
  /** One PING to each member that relays; done when all have answered, or after a second. */
  | { readonly type: "ask-relays" }
  /** Forced: also when this node holds the network's root key. */
  | { readonly type: "leave"; readonly isForced: boolean };
