import { createHash } from "node:crypto";
import { type RecordDigest, SUMMARY_ENTRY_BYTES } from "@mesh/core/ports";

/** A record as tests know it: an id of 32 bytes, a sequence and any content. */
export function testRecord(name: string, sequence = 1n, size = 400): Uint8Array {
  const record = Buffer.alloc(size, name);
  record.set(createHash("sha256").update(name).digest());
  record.writeBigUInt64BE(sequence, 32);
  return record;
}

interface Entry {
  readonly id: Buffer;
  readonly sequence: bigint;
  readonly hash: Buffer;
  readonly record: Uint8Array;
}

/** Keeps the highest sequence of each id. */
export class TestRecords implements RecordDigest {
  readonly #entries = new Map<string, Entry>();
  readonly #buckets: readonly Map<string, Entry>[] = Array.from({ length: 256 }, () => new Map());

  merge(record: Uint8Array): boolean {
    const id = Buffer.from(record.subarray(0, 32));
    const sequence = Buffer.from(record).readBigUInt64BE(32);
    const name = id.toString("hex");
    const known = this.#entries.get(name);
    if (known !== undefined && known.sequence >= sequence) return false;
    const entry = { id, sequence, hash: sha256(record).subarray(0, 16), record };
    this.#entries.set(name, entry);
    this.#buckets[id[0] ?? 0]?.set(name, entry);
    return true;
  }

  has(record: Uint8Array): boolean {
    const known = this.#entries.get(Buffer.from(record.subarray(0, 32)).toString("hex"));
    return known !== undefined && Buffer.compare(known.record, record) === 0;
  }

  get size(): number {
    return this.#entries.size;
  }

  root(): Uint8Array {
    return sha256(this.buckets());
  }

  buckets(): Uint8Array {
    return Buffer.concat(Array.from({ length: 256 }, (_, bucket) => sha256(this.summary([bucket])).subarray(0, 16)));
  }

  summary(buckets: readonly number[]): Uint8Array {
    return Buffer.concat(
      this.#in(buckets).map(({ id, sequence, hash }) => {
        const entry = Buffer.alloc(SUMMARY_ENTRY_BYTES);
        entry.set(id);
        entry.writeBigUInt64BE(sequence, 32);
        entry.set(hash, 40);
        return entry;
      }),
    );
  }

  missingFrom(buckets: readonly number[], theirSummary: Uint8Array): readonly Uint8Array[] {
    const theirs = new Map<string, bigint>();
    const summary = Buffer.from(theirSummary);
    for (let i = 0; i < summary.length; i += SUMMARY_ENTRY_BYTES)
      theirs.set(summary.toString("hex", i, i + 32), summary.readBigUInt64BE(i + 32));
    return this.#in(buckets)
      .filter(({ id, sequence }) => (theirs.get(id.toString("hex")) ?? -1n) < sequence)
      .map(({ record }) => record);
  }

  #in(buckets: readonly number[]): readonly Entry[] {
    return buckets.flatMap((bucket) => [...(this.#buckets[bucket]?.values() ?? [])]).sort((a, b) => Buffer.compare(a.id, b.id));
  }
}

function sha256(data: Uint8Array): Buffer {
  return createHash("sha256").update(data).digest();
}
