/**
 * The node's durable documents. A write replaces the whole document: after a crash either the old or the new one is
 * there, never a mixture. Files are 0600 in a 0700 directory.
 */
export interface Store {
  /** undefined when it was never written; MeshError "state/damaged" when its checksum does not fit. */
  read(document: StoreDocument): Promise<Uint8Array | undefined>;
  /** Resolves after fsync of file and directory: what it says may then be relied on. */
  write(document: StoreDocument, bytes: Uint8Array): Promise<void>;
  /** Keeps an unreadable document for a person to look at, beside where it was; the next read finds none. Returns its path. */
  setAside(document: StoreDocument): Promise<string>;
}

/**
 * - `identity`: the node's Ed25519 seed, 32 bytes. Written once.
 * - `root`: the network's root seed, 32 bytes, only where it is held.
 * - `node`: small and critical: network, own certificate, ledger of an admin, ports.
 * - `records`: everything gossip taught; can be had again from any member.
 * - `host`: what the agent changed on this host and has not undone yet; written before the change.
 */
export type StoreDocument = "identity" | "root" | "node" | "records" | "host";
