import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import type { Prefix } from "../address/prefix.ts";
import type { SocketId, Way } from "../address/way.ts";
import type { InviteView, LeaveView, PingView } from "../api/views.ts";
import type { MeshError } from "../errors.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { JoinId } from "../ports/control-plane.ts";
import type { DatapathSession, ForwardingTable, PeerSlot, RelayTable } from "../ports/datapath.ts";
import type { StoreDocument } from "../ports/store.ts";
import type { Millis } from "../time/millis.ts";
import type { CommandId } from "./node-event.ts";

/** Everything a node can want done. Performed strictly in order; what must wait for a write waits for its `persisted`. */
export type NodeEffect =
  // engine
  | { readonly type: "set-handshake-key"; readonly publicKey: Uint8Array }
  | { readonly type: "publish-table"; readonly table: ForwardingTable }
  | { readonly type: "set-ways"; readonly slot: PeerSlot; readonly ways: readonly Way[] }
  | { readonly type: "set-relay"; readonly relay: RelayTable }
  | { readonly type: "install-session"; readonly session: DatapathSession }
  | { readonly type: "drop-session"; readonly localIndex: number }
  | { readonly type: "send-keepalive"; readonly slot: PeerSlot }
  /** `ttl`: so many routers may forward it; the host's default unless told. */
  | { readonly type: "send-datagram"; readonly way: Way; readonly bytes: Uint8Array; readonly ttl?: number }
  /** By TLS WebSocket, at the first of these endpoints that answers; a `tcp-way` event follows, and another when it is gone. */
  | { readonly type: "open-tcp-way"; readonly node: NodeId; readonly endpoints: readonly Endpoint[] }
  | { readonly type: "close-tcp-way"; readonly node: NodeId }
  /** `sockets-opened` follows. */
  | { readonly type: "open-sockets"; readonly count: number }
  | { readonly type: "close-sockets"; readonly sockets: readonly SocketId[] }
  // control plane
  | { readonly type: "connect"; readonly node: NodeId; readonly endpoints: readonly Endpoint[] }
  | { readonly type: "disconnect"; readonly node: NodeId }
  | { readonly type: "publish-record"; readonly record: Uint8Array }
  /** `settled { id }` follows when what was published has reached the linked members, or the time is over. */
  | { readonly type: "settle"; readonly id: number; readonly within: Millis }
  | { readonly type: "answer-join"; readonly id: JoinId; readonly response: Uint8Array }
  | { readonly type: "carry-join"; readonly id: JoinId; readonly issuer: NodeId; readonly request: Uint8Array }
  // host
  | { readonly type: "apply-link"; readonly addresses: readonly Ip[]; readonly routes: readonly Prefix[] }
  // store: `persisted { id }` follows
  | { readonly type: "persist"; readonly id: number; readonly document: StoreDocument; readonly bytes: Uint8Array }
  /** Everything that `stopping` asked for is said and written. */
  | { readonly type: "stopped" }
  // people
  | { readonly type: "command-result"; readonly id: CommandId; readonly result: CommandResult }
  | {
      readonly type: "log";
      readonly level: "debug" | "info" | "warn" | "error";
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };

export type CommandResult =
  | { readonly type: "invite"; readonly invite: InviteView }
  | { readonly type: "ping"; readonly ping: PingView }
  | { readonly type: "ask-relays" }
  /** The node is to stop, and what it keeps is to be deleted. */
  | { readonly type: "leave"; readonly leave: LeaveView }
  | { readonly type: "failed"; readonly error: MeshError };

type LogEffect = Extract<NodeEffect, { type: "log" }>;

export function log(level: LogEffect["level"], message: string, fields: LogEffect["fields"]): LogEffect {
  return { type: "log", level, message, fields };
}
