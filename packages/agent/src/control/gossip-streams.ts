import type { Connection, Stream } from "@libp2p/interface";
import type { NodeId } from "@mesh/core/ports";
import type { Libp2pNode } from "./libp2p-node.ts";
import { peerIdOf } from "./peer-id.ts";
import { GOSSIP_PROTOCOLS } from "./stream-guard.ts";

/** Can records go to the node and come from it? The router's books alone do not tell: they keep streams that are closed. */
export function gossipFlows({ libp2p }: Libp2pNode, topic: string, node: NodeId): boolean {
  const peer = peerIdOf(node);
  const id = peer.toString();
  const { gossip } = libp2p.services;
  if (!gossip.streamsOutbound.has(id) || !gossip.streamsInbound.has(id)) return false;
  const directions = new Set(
    openConnections(libp2p.getConnections(peer))
      .flatMap(gossipStreams)
      .map((stream) => stream.direction),
  );
  return directions.size === 2 && gossip.getSubscribers(topic).some((subscriber) => subscriber.equals(peer));
}

/** Makes the router forget the node on both sides; it comes back when the node is identified again. */
export function resetGossip({ libp2p }: Libp2pNode, node: NodeId): void {
  for (const connection of libp2p.getConnections(peerIdOf(node))) {
    for (const stream of gossipStreams(connection)) stream.abort(new Error("gossip is opened anew"));
  }
}

/** Identifies the node again, which is what makes the router open its stream. Rejects when no connection is left. */
export async function reopenGossip({ libp2p }: Libp2pNode, node: NodeId): Promise<void> {
  const newest = openConnections(libp2p.getConnections(peerIdOf(node))).at(-1);
  if (newest !== undefined) await libp2p.services.identify.identify(newest);
}

function openConnections(connections: readonly Connection[]): readonly Connection[] {
  return connections.filter(({ status }) => status === "open");
}

function gossipStreams({ streams }: Connection): readonly Stream[] {
  return streams.filter(({ protocol, status }) => protocol.startsWith(GOSSIP_PROTOCOLS) && status === "open");
}
