import { ByteReader } from "../bytes/byte-reader.ts";
import { ByteWriter } from "../bytes/byte-writer.ts";
import { concatBytes } from "../bytes/bytes.ts";
import { formatHex, parseHex } from "../bytes/hex.ts";
import type { Crypto } from "../crypto/crypto.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { EndpointRecord } from "./endpoint-record.ts";
import { type RecordId, replaces, type SignedRecord } from "./record.ts";

/** Does this version know the record's kind? */
export type RecordClass = "known" | "unknown";

export function recordClass({ content }: SignedRecord): RecordClass {
  return content.type === "unknown" ? "unknown" : "known";
}

const BUCKETS = 256;
/** Kept of each SHA-256 in buckets and summaries: 2^64 work to make two sets look alike, at half the bytes. */
const HASH_BYTES = 16;
const ID_BYTES = 32;
/** Bytes of one entry in a {@link RecordSet.summary}: id, sequence, hash. */
export const SUMMARY_ENTRY_BYTES: number = ID_BYTES + 8 + HASH_BYTES;

/**
 * The records a node keeps, one per id, and the digest by which two nodes compare theirs: a record sits in the bucket of
 * its id's first byte; a bucket's hash covers id and bytes of its records in order of id.
 */
export class RecordSet {
  readonly #crypto: Crypto;
  readonly #records = new Map<RecordId, SignedRecord>();
  readonly #byBucket: Map<RecordId, SignedRecord>[] = Array.from({ length: BUCKETS }, () => new Map());
  readonly #counts: Readonly<Record<RecordClass, Map<NodeId, number>>> = { known: new Map(), unknown: new Map() };
  readonly #bucketHashes: (Uint8Array | undefined)[] = new Array<undefined>(BUCKETS).fill(undefined);

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  get size(): number {
    return this.#records.size;
  }

  get(id: RecordId): SignedRecord | undefined {
    return this.#records.get(id);
  }

  values(): Iterable<SignedRecord> {
    return this.#records.values();
  }

  endpointRecords(): readonly EndpointRecord[] {
    return [...this.#records.values()].flatMap(({ content }) => (content.type === "endpoint" ? [content.endpoint] : []));
  }

  /** Records of this author, of all kinds or of those this version knows or does not know. */
  countOf(author: NodeId, kind?: RecordClass): number {
    if (kind === undefined) return this.countOf(author, "known") + this.countOf(author, "unknown");
    return this.#counts[kind].get(author) ?? 0;
  }

  /** Is the record new, or newer than the one of its id? */
  wants(record: SignedRecord): boolean {
    const kept = this.#records.get(record.id);
    return kept === undefined || replaces(record, kept);
  }

  /** False when the record is already here or older than the one here. */
  put(record: SignedRecord): boolean {
    if (!this.wants(record)) return false;
    if (!this.#records.has(record.id)) this.#count(record, 1);
    this.#records.set(record.id, record);
    this.#bucketOf(record.id).set(record.id, record);
    this.#bucketHashes[bucketIndex(record.id)] = undefined;
    return true;
  }

  remove(id: RecordId): void {
    const record = this.#records.get(id);
    if (record === undefined) return;
    this.#records.delete(id);
    this.#bucketOf(id).delete(id);
    this.#bucketHashes[bucketIndex(id)] = undefined;
    this.#count(record, -1);
  }

  /** 32 bytes: equal exactly when the sets are equal. */
  root(): Uint8Array {
    return this.#crypto.sha256(this.buckets());
  }

  /** 256 × 16 bytes. */
  buckets(): Uint8Array {
    return concatBytes(...Array.from({ length: BUCKETS }, (_, index) => this.#bucketHash(index)));
  }

  /** {@link SUMMARY_ENTRY_BYTES} for each record of these buckets, in order of id. */
  summary(buckets: readonly number[]): Uint8Array {
    return concatBytes(...this.#inBuckets(buckets).map(summaryEntry));
  }

  /** Record bytes that the other side lacks or has older, in the order of dependence. Entries that make no sense count as absent. */
  missingFrom(buckets: readonly number[], theirSummary: Uint8Array): readonly Uint8Array[] {
    const theirs = new Map<string, { readonly sequence: bigint; readonly hash: string }>();
    const reader = new ByteReader(theirSummary);
    while (theirSummary.length - reader.offset >= SUMMARY_ENTRY_BYTES) {
      theirs.set(formatHex(reader.bytes(ID_BYTES)), { sequence: reader.u64(), hash: formatHex(reader.bytes(HASH_BYTES)) });
    }
    const missing = this.#inBuckets(buckets).filter((record) => {
      const known = theirs.get(record.id);
      if (known === undefined) return true;
      const sequence = BigInt(record.sequence);
      return sequence > known.sequence || (sequence === known.sequence && formatHex(shortHash(record)) > known.hash);
    });
    return missing.sort((a, b) => a.kind - b.kind).map((record) => record.bytes);
  }

  #count(record: SignedRecord, by: 1 | -1): void {
    const kind = recordClass(record);
    this.#counts[kind].set(record.author, this.countOf(record.author, kind) + by);
  }

  #inBuckets(buckets: readonly number[]): SignedRecord[] {
    return buckets.flatMap((index) => [...(this.#byBucket[index]?.values() ?? [])]).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  #bucketOf(id: RecordId): Map<RecordId, SignedRecord> {
    const bucket = this.#byBucket[bucketIndex(id)];
    if (bucket === undefined) throw new RangeError(`no bucket for ${id}`);
    return bucket;
  }

  #bucketHash(index: number): Uint8Array {
    const hash = this.#bucketHashes[index] ?? this.#crypto.sha256(this.summary([index])).subarray(0, HASH_BYTES);
    this.#bucketHashes[index] = hash;
    return hash;
  }
}

function bucketIndex(id: RecordId): number {
  return Number.parseInt(id.slice(0, 2), 16);
}

function shortHash(record: SignedRecord): Uint8Array {
  return record.hash.subarray(0, HASH_BYTES);
}

function summaryEntry(record: SignedRecord): Uint8Array {
  const id = parseHex(record.id) ?? new Uint8Array(ID_BYTES);
  return new ByteWriter().bytes(id).u64(BigInt(record.sequence)).bytes(shortHash(record)).finish();
}
