import { BoundedMap } from "../bytes/bounded-map.ts";
import { ByteWriter } from "../bytes/byte-writer.ts";
import type { Decoded } from "../bytes/decoded.ts";
import { formatHex } from "../bytes/hex.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { type NodeId, nodeKey } from "../ids/node-id.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import { type EndpointRecord, readEndpointRecord } from "./endpoint-record.ts";
import { type Envelope, openEnvelope, RECORD_KINDS, type RecordFault } from "./envelope.ts";
import { type NetworkStatement, readNetworkStatement } from "./network-statement.ts";
import { type Removal, readRemoval } from "./removal.ts";

/** SHA-256 over kind, author and subject, in hex: at most one record per id is kept. */
export type RecordId = string & { readonly brand: "RecordId" };

/** A record whose signature holds and whose body is well formed. Whether it is believed is up to membership/. */
export interface SignedRecord {
  readonly id: RecordId;
  readonly bytes: Uint8Array;
  readonly hash: Uint8Array; // SHA-256 of bytes
  readonly kind: number;
  readonly author: NodeId;
  readonly sequence: number;
  readonly content: RecordContent;
}

export type RecordContent =
  | { readonly type: "network"; readonly network: NetworkStatement }
  | { readonly type: "certificate"; readonly certificate: Certificate }
  | { readonly type: "removal"; readonly removal: Removal }
  | { readonly type: "endpoint"; readonly endpoint: EndpointRecord }
  /** A kind of a later version: kept and passed on within a bound. */
  | { readonly type: "unknown" };

export type OpenedRecord = { readonly ok: true; readonly value: SignedRecord } | { readonly ok: false; readonly fault: RecordFault };

/** Records opened lately are remembered, so that judging, merging and chains check a signature once. */
const REMEMBERED = 4_096;

/** Opens record bytes. Remembers both verdicts by the bytes' hash; gives the same answer every time. */
export class RecordOpener {
  readonly #crypto: Crypto;
  readonly #opened = new BoundedMap<string, OpenedRecord>(REMEMBERED);

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  open(bytes: Uint8Array): OpenedRecord {
    const hash = this.#crypto.sha256(bytes);
    const key = formatHex(hash);
    const known = this.#opened.get(key);
    if (known !== undefined) return known;
    const opened = this.#openNew(bytes, hash);
    this.#opened.set(key, opened);
    return opened;
  }

  /** Whom the removal in these bytes is about; undefined where there is none. */
  removalTarget(bytes: Uint8Array): NodeId | undefined {
    const opened = this.open(bytes);
    return opened.ok && opened.value.content.type === "removal" ? opened.value.content.removal.target : undefined;
  }

  #openNew(bytes: Uint8Array, hash: Uint8Array): OpenedRecord {
    const envelope = openEnvelope(this.#crypto, bytes);
    if (!envelope.ok) return envelope;
    const content = readContent(envelope.value);
    if (!content.ok) return content;
    const { kind, author, sequence } = envelope.value;
    return {
      ok: true,
      value: { id: recordId(this.#crypto, envelope.value), bytes: bytes.slice(), hash, kind, author, sequence, content: content.value },
    };
  }
}

/** Of two records with one id: does `fresh` replace `kept`? Higher sequence, then the greater hash of the bytes. */
export function replaces(fresh: SignedRecord, kept: SignedRecord): boolean {
  if (fresh.sequence !== kept.sequence) return fresh.sequence > kept.sequence;
  return formatHex(fresh.hash) > formatHex(kept.hash);
}

function recordId(crypto: Crypto, { kind, author, subject }: Pick<Envelope, "kind" | "author" | "subject">): RecordId {
  return formatHex(crypto.sha256(new ByteWriter().u8(kind).bytes(nodeKey(author)).bytes(subject).finish())) as RecordId;
}

function readContent(envelope: Envelope): Decoded<RecordContent> {
  switch (envelope.kind) {
    case RECORD_KINDS.network:
      return mapDecoded(readNetworkStatement(envelope), (network) => ({ type: "network", network }));
    case RECORD_KINDS.certificate:
      return mapDecoded(readCertificate(envelope), (certificate) => ({ type: "certificate", certificate }));
    case RECORD_KINDS.removal:
      return mapDecoded(readRemoval(envelope), (removal) => ({ type: "removal", removal }));
    case RECORD_KINDS.endpoint:
      return mapDecoded(readEndpointRecord(envelope), (endpoint) => ({ type: "endpoint", endpoint }));
    default:
      return { ok: true, value: { type: "unknown" } };
  }
}

function mapDecoded<T>(decoded: Decoded<T>, wrap: (value: T) => RecordContent): Decoded<RecordContent> {
  return decoded.ok ? { ok: true, value: wrap(decoded.value) } : decoded;
}
