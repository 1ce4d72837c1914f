import { formatHex, parseHex } from "../bytes/hex.ts";

/** A node's Ed25519 public key in hex: its identity in every map, record and log. */
export type NodeId = string & { readonly brand: "NodeId" };

/** From a 32-byte Ed25519 public key. */
export function nodeId(publicKey: Uint8Array): NodeId {
  return formatHex(publicKey) as NodeId;
}

export function nodeKey(id: NodeId): Uint8Array {
  const bytes = parseHex(id);
  if (bytes?.length !== 32) throw new TypeError(`not a node id: ${id}`);
  return bytes;
}

/** undefined unless it is 64 hex digits. */
export function parseNodeId(text: string): NodeId | undefined {
  return parseHex(text)?.length === 32 ? (text as NodeId) : undefined;
}

/** For people: enough to tell nodes of one mesh apart. */
export function shortId(id: NodeId): string {
  return id.slice(0, 8);
}
