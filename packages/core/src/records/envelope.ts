import { ByteReader } from "../bytes/byte-reader.ts";
import { ByteWriter } from "../bytes/byte-writer.ts";
import { concatBytes } from "../bytes/bytes.ts";
import type { Decoded, DecodeFault } from "../bytes/decoded.ts";
import { type Field, packFields, unpackFields } from "../bytes/fields.ts";
import { utf8 } from "../bytes/text.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { type NodeId, nodeId, nodeKey } from "../ids/node-id.ts";

//  0     1      2           34             35       35+s        43+s          47+s     47+s+b
//  +-----+------+-----------+--------------+--------+-----------+-------------+--------+-----------------+
//  | ver | kind | author 32 | subject len s| subject| seq u64   | body len b  | body   | signature 64    |
//  +-----+------+-----------+--------------+--------+-----------+-------------+--------+-----------------+
// The signature is the author's Ed25519 over SIGNATURE_LABEL and everything before it. Records travel and are kept as
// these bytes, never encoded again, so a node passes on what it cannot read.
const VERSION = 1;
const SIGNATURE_LABEL = utf8("mesh-record-1");
const SIGNATURE_BYTES = 64;

/** Largest record. Bounds gossip messages, sync frames and what one author can make everyone keep. */
export const MAX_RECORD_BYTES = 8_192;

/** Numbers on the wire. The order is the order of dependence: what judges a record has a smaller kind than it. */
export const RECORD_KINDS = { network: 1, certificate: 2, removal: 3, endpoint: 4 } as const;

export interface Envelope {
  readonly kind: number; // u8; may be one this version does not know
  readonly author: NodeId;
  /** Whom or what it is about; empty: the author itself. With kind and author it makes the record's id. */
  readonly subject: Uint8Array; // 0 to 255 B
  /** Of two records with one id the higher sequence wins. */
  readonly sequence: number; // 0 to 2^53 - 1
  readonly body: readonly Field[];
}

export type RecordFault = DecodeFault | "bad-signature";

export function signRecord(crypto: Crypto, key: SigningKey, record: Omit<Envelope, "author">): Uint8Array {
  const body = packFields(record.body);
  const unsigned = new ByteWriter()
    .u8(VERSION)
    .u8(record.kind)
    .bytes(key.publicKey)
    .u8(record.subject.length)
    .bytes(record.subject)
    .u64(BigInt(record.sequence))
    .u32(body.length)
    .bytes(body)
    .finish();
  return concatBytes(unsigned, crypto.sign(key, concatBytes(SIGNATURE_LABEL, unsigned)));
}

/** Strict to the last byte, the signature included. The author's right to say it is another question: membership/. */
export function openEnvelope(crypto: Crypto, bytes: Uint8Array): Decoded<Envelope> | { readonly ok: false; readonly fault: RecordFault } {
  const decoded = decodeEnvelope(bytes);
  if (!decoded.ok) return decoded;
  const signed = concatBytes(SIGNATURE_LABEL, bytes.subarray(0, bytes.length - SIGNATURE_BYTES));
  const isSigned = crypto.verify(nodeKey(decoded.value.author), signed, bytes.subarray(bytes.length - SIGNATURE_BYTES));
  return isSigned ? decoded : { ok: false, fault: "bad-signature" };
}

/** What the bytes say they are, unchecked: for sorting, and for refusing before a signature is verified. */
export function claimedKind(bytes: Uint8Array): number {
  return bytes[1] ?? 0;
}

/** Whom the bytes name as author, unchecked. */
export function claimedAuthor(bytes: Uint8Array): NodeId {
  return nodeId(bytes.subarray(2, 34));
}

function decodeEnvelope(bytes: Uint8Array): Decoded<Envelope> {
  if (bytes.length > MAX_RECORD_BYTES) return { ok: false, fault: "too-long" };
  const reader = new ByteReader(bytes);
  if (reader.u8() !== VERSION) return { ok: false, fault: bytes.length === 0 ? "truncated" : "unknown-version" };
  const kind = reader.u8();
  const author = nodeId(reader.bytes(32));
  const subject = reader.bytes(reader.u8());
  const sequence = reader.u64();
  const bodyBytes = reader.bytes(reader.u32());
  reader.bytes(SIGNATURE_BYTES);
  const end = reader.finish(undefined);
  if (!end.ok) return end;
  if (sequence > BigInt(Number.MAX_SAFE_INTEGER)) return { ok: false, fault: "out-of-range" };
  const body = unpackFields(bodyBytes);
  return body.ok ? { ok: true, value: { kind, author, subject, sequence: Number(sequence), body: body.value } } : body;
}
