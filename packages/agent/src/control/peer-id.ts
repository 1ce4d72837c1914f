import { generateKeyPairFromSeed, publicKeyFromRaw } from "@libp2p/crypto/keys";
import type { PeerId, PrivateKey } from "@libp2p/interface";
import { peerIdFromPublicKey } from "@libp2p/peer-id";
import { type NodeId, nodeId, nodeKey } from "@mesh/core/ports";

/** libp2p's name for a node; both are the same Ed25519 public key. */
export function peerIdOf(node: NodeId): PeerId {
  return peerIdFromPublicKey(publicKeyFromRaw(nodeKey(node)));
}

/** undefined for peers whose key is not Ed25519: they cannot be nodes. */
export function nodeOf(peer: PeerId): NodeId | undefined {
  return peer.type === "Ed25519" && peer.publicKey !== undefined ? nodeId(peer.publicKey.raw) : undefined;
}

/** From a 32-byte Ed25519 seed. */
export function privateKeyOf(seed: Uint8Array): Promise<PrivateKey> {
  return generateKeyPairFromSeed("Ed25519", seed);
}
