import { MeshError } from "@mesh/core/errors";
import { decodeRecords, decodeSnapshot, type NodeSnapshot } from "@mesh/core/node";
import type { Store } from "@mesh/core/ports";

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
  if (identity?.length !== 32)
    throw damaged(
      `${directory}/identity.key`,
      "is missing or has the wrong size",
      "Restore it from a backup, or move the directory away and join again with a new invite: this becomes a new node.",
    );
  const snapshot = decodeSnapshot(node);
  if (!snapshot.ok)
    throw damaged(
      `${directory}/node.state`,
      `cannot be read (${snapshot.fault})`,
      "Restore it from a backup, or move this one file away and join again with a new invite: identity.key beside it keeps node and number.",
    );
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

function damaged(file: string, reason: string, hint: string): MeshError {
  return new MeshError("state/damaged", `The state file ${file} ${reason}.`, { file, reason }, { hint });
}
