import type { Decoded } from "../bytes/decoded.ts";
import { FieldReader } from "../bytes/fields.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { type NetworkId, networkId, networkIdBytes } from "../ids/network-id.ts";
import { type NodeId, nodeId, nodeKey } from "../ids/node-id.ts";
import type { Millis } from "../time/millis.ts";
import { type Envelope, MAX_RECORD_BYTES, RECORD_KINDS, signRecord } from "./envelope.ts";

/**
 * "This node is out" (or back in), said by root, by the admin that stands above it, or by the node itself on leaving. Of
 * one signer about one target the highest sequence counts, so the outcome never depends on the order of arrival.
 */
export interface Removal {
  readonly network: NetworkId;
  readonly signer: NodeId;
  readonly target: NodeId;
  readonly isOut: boolean;
  readonly wallAt: Millis;
  /** The signer's certificate record; empty for root. */
  readonly signerCertificate: Uint8Array;
}

export function signRemoval(
  crypto: Crypto,
  signer: SigningKey,
  removal: Omit<Removal, "signer"> & { readonly sequence: number },
): Uint8Array {
  return signRecord(crypto, signer, {
    kind: RECORD_KINDS.removal,
    subject: nodeKey(removal.target),
    sequence: removal.sequence,
    body: [networkIdBytes(removal.network), removal.isOut, removal.wallAt, removal.signerCertificate],
  });
}

export function readRemoval(envelope: Envelope): Decoded<Removal> {
  if (envelope.subject.length !== 32) return { ok: false, fault: "out-of-range" };
  const reader = new FieldReader(envelope.body);
  const network = networkId(reader.bytes(32));
  const isOut = reader.flag();
  const wallAt = reader.whole(0, Number.MAX_SAFE_INTEGER);
  const signerCertificate = reader.bytesUpTo(MAX_RECORD_BYTES);
  return reader.finish({ network, signer: envelope.author, target: nodeId(envelope.subject), isOut, wallAt, signerCertificate });
}
