import { concatBytes } from "../bytes/bytes.ts";
import type { Decoded } from "../bytes/decoded.ts";
import { FieldReader, packFields, unpackFields } from "../bytes/fields.ts";
import { MAX_NAME_BYTES } from "../bytes/name.ts";
import { utf8 } from "../bytes/text.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { type NetworkId, networkId, networkIdBytes } from "../ids/network-id.ts";
import { type NodeId, nodeId, nodeKey } from "../ids/node-id.ts";
import { signConsent } from "../records/certificate.ts";
import { MAX_RECORD_BYTES } from "../records/envelope.ts";
import { MAX_JOIN_RECORDS, MAX_JOIN_REQUEST_BYTES } from "../records/join-bounds.ts";
import type { OpenedInvite } from "./invite.ts";

/** "Make me a member": signed with the invite's key and the joiner's own, so neither can be used by another. */
export interface JoinRequest {
  readonly network: NetworkId;
  readonly issuer: NodeId;
  /** Public key of the invite. */
  readonly invite: NodeId;
  readonly node: NodeId;
  readonly name: string;
  readonly consent: Uint8Array;
}

export type JoinResponse =
  | { readonly outcome: "admitted"; readonly certificate: Uint8Array; readonly records: readonly Uint8Array[] }
  | { readonly outcome: "refused"; readonly reason: JoinRefusal };

export const JOIN_REFUSALS = [
  "malformed",
  "wrong-network",
  "unknown-invite",
  "expired",
  "spent",
  "removed",
  "full",
  "not-admin",
  "issuer-unreachable",
  "busy",
] as const;
export type JoinRefusal = (typeof JOIN_REFUSALS)[number];

const VERSION = 1;
const LABEL = utf8("mesh-join-1");
const SIGNATURE_BYTES = 64;

export function makeJoinRequest(
  crypto: Crypto,
  options: { readonly invite: OpenedInvite; readonly key: SigningKey; readonly name: string },
): Uint8Array {
  const { invite, key, name } = options;
  const inviteKey = crypto.signingKey(invite.invite.seed);
  const consent = signConsent(crypto, key, invite.network);
  const body = packFields([
    VERSION,
    networkIdBytes(invite.network),
    nodeKey(invite.invite.issuer),
    inviteKey.publicKey,
    key.publicKey,
    name,
    consent,
  ]);
  const signed = concatBytes(LABEL, body);
  return concatBytes(body, crypto.sign(inviteKey, signed), crypto.sign(key, signed));
}

/** Any member can check a request; only the issuer knows whether the invite is good. */
export function openJoinRequest(crypto: Crypto, bytes: Uint8Array): Decoded<JoinRequest> {
  if (bytes.length > MAX_JOIN_REQUEST_BYTES) return { ok: false, fault: "too-long" };
  if (bytes.length < SIGNATURE_BYTES * 2) return { ok: false, fault: "truncated" };
  const body = bytes.subarray(0, bytes.length - SIGNATURE_BYTES * 2);
  const fields = unpackFields(body);
  if (!fields.ok) return fields;
  const reader = new FieldReader(fields.value);
  if (reader.whole(0, 255) !== VERSION) return { ok: false, fault: "unknown-version" };
  const request = reader.finish({
    network: networkId(reader.bytes(32)),
    issuer: nodeId(reader.bytes(32)),
    invite: nodeId(reader.bytes(32)),
    node: nodeId(reader.bytes(32)),
    name: reader.text(MAX_NAME_BYTES),
    consent: reader.bytes(64),
  });
  if (!request.ok) return request;
  const signed = concatBytes(LABEL, body);
  const byInvite = crypto.verify(nodeKey(request.value.invite), signed, bytes.subarray(body.length, body.length + SIGNATURE_BYTES));
  const byNode = crypto.verify(nodeKey(request.value.node), signed, bytes.subarray(body.length + SIGNATURE_BYTES));
  return byInvite && byNode ? request : { ok: false, fault: "out-of-range" };
}

export function encodeJoinResponse(response: JoinResponse): Uint8Array {
  if (response.outcome === "refused") return packFields([VERSION, false, response.reason]);
  return packFields([VERSION, true, response.certificate, response.records.map((record) => [record])]);
}

export function decodeJoinResponse(bytes: Uint8Array): Decoded<JoinResponse> {
  const fields = unpackFields(bytes);
  if (!fields.ok) return fields;
  const reader = new FieldReader(fields.value);
  if (reader.whole(0, 255) !== VERSION) return { ok: false, fault: "unknown-version" };
  if (reader.flag()) {
    const certificate = reader.bytesUpTo(MAX_RECORD_BYTES);
    return reader.finish({
      outcome: "admitted",
      certificate,
      records: reader.list(MAX_JOIN_RECORDS, (record) => record.bytesUpTo(MAX_RECORD_BYTES)),
    });
  }
  const text = reader.text(64);
  const reason = JOIN_REFUSALS.find((refusal) => refusal === text);
  return reason === undefined ? { ok: false, fault: "out-of-range" } : reader.finish({ outcome: "refused", reason });
}
