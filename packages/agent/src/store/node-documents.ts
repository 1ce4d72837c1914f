import { MeshError } from "@mesh/core/errors";
import { decodeRecords, decodeSnapshot, type NodeSnapshot } from "@mesh/core/node";
import type { Store } from "@mesh/core/ports";
import { damaged } from "./store.ts";

/** Everything a node finds again at its start. */
export interface NodeDocuments {
  /** Ed25519 seeds. */
  readonly identity: Uint8Array;
  readonly root: Uint8Array | undefined;
  readonly snapshot: NodeSnapshot;
  readonly records: readonly Uint8Array[];
}

/** undefined when there is no node here. Damaged records are left out with a word to `onLost`: gossip brings them again. */
export async function readNodeDocuments(
  store: Store,
  directory: string,
  onLost: (reason: string) => void,
): Promise<NodeDocuments | undefined> {
  const node = await store.read("node");
  if (node === undefined) return undefined;
  const identity = await store.read("identity");
  if (identity?.length !== 32) throw damaged("identity", directory, "is missing or has the wrong size");
  const snapshot = decodeSnapshot(node);
  if (!snapshot.ok) throw damaged("node", directory, `cannot be read (${snapshot.fault})`);
  return { identity, root: await store.read("root"), snapshot: snapshot.value, records: await readRecords(store, onLost) };
}

async function readRecords(store: Store, onLost: (reason: string) => void): Promise<readonly Uint8Array[]> {
  try {
    const bytes = await store.read("records");
    const records = bytes === undefined ? undefined : decodeRecords(bytes);
    if (records?.ok === false) onLost(records.fault);
    return records?.ok === true ? records.value : [];
  } catch (error) {
    if (!(error instanceof MeshError) || error.code !== "state/damaged") throw error;
    onLost(error.message);
    return [];
  }
}
