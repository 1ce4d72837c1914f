import type { MessageStream, SecuredConnection } from "@libp2p/interface";
import { type ControlQueries, MAX_RECORD_BYTES, type NodeId, shortId } from "@mesh/core/ports";
import { type Frames, framesOf } from "./frames.ts";
import { nodeOf } from "./peer-id.ts";

interface CredentialsListener {
  readonly signal: AbortSignal;
  readonly refuseMember: ControlQueries["refuseMember"];
  onRefused(): void;
  onCredentials(node: NodeId, credentials: Uint8Array): void;
}

/** The frames of credentials on a connection that Noise has secured; to be released when both have shown theirs. */
export function credentialFrames(secured: { readonly connection: MessageStream }): Frames {
  return framesOf(secured.connection, MAX_RECORD_BYTES);
}

/** Reads what the other side shows. Rejects when that is not the proof that it is a member. */
export async function takeCredentials(
  secured: SecuredConnection,
  { signal, refuseMember, onRefused, onCredentials }: CredentialsListener,
  frames: Frames = credentialFrames(secured),
): Promise<void> {
  const credentials = await frames.read(signal);
  const node = nodeOf(secured.remotePeer);
  const reason = node === undefined ? "not an Ed25519 key" : refuseMember(node, credentials);
  if (node === undefined || reason !== undefined) {
    onRefused();
    throw new Error(`${node === undefined ? "peer" : shortId(node)} is no member: ${reason}`);
  }
  onCredentials(node, credentials);
}
