/**
 * `/mesh/sync/1`: two members make their record sets equal. Both compare a root, then 256 bucket hashes, then the entries
 * of the buckets that differ, then hand over what the other lacks: 32 bytes each way when they are equal.
 *
 *   initiator → responder   root             32 B
 *   responder → initiator   root             32 B    equal: both close
 *   initiator → responder   buckets          256 × 16 B
 *   responder → initiator   buckets          256 × 16 B
 *   initiator → responder   selection, summary   32 B bitmap of buckets (bit b & 7 of byte b >> 3), then 56 B an entry
 *   responder → initiator   selection, summary   the same buckets or, when they do not fit, fewer of them
 *   initiator → responder   records          u8 1 if more follow, then records: u16 length and that many bytes
 *   responder → initiator   next             empty; only after a frame that said more follow
 *   …
 *   responder → initiator   records          and the other way round
 *   …
 *
 * Numbers are big-endian. Buckets and records beyond the limits wait for the next sync. Nobody sends a records frame
 * before the last one was taken, so a peer can make us hold one frame and no more. Taking means asking core about each
 * record, a few at a time; at the first that core rejects the sync ends, and of its frame nothing is handed on.
 */
import { type ControlQueries, equalBytes, MAX_RECORD_BYTES, SUMMARY_ENTRY_BYTES } from "@mesh/core/ports";

export const BUCKETS = 256;
const ROOT_BYTES = 32;
export const BUCKET_BYTES = 16;
const SELECTION_BYTES = BUCKETS / 8;

/** Any frame. A summary of 18,000 records fits, more wait. */
export const MAX_FRAME_BYTES = 1_048_576;
/** Of records in one frame: one at a time is held for each sync under way. */
export const RECORDS_FRAME_BYTES = 262_144;
/** Of records in one direction and sync: 8,000 of them. */
export const MAX_RECORDS_BYTES = 4_194_304;
const RECORD_HEADER_BYTES = 2;
/** Of records judged before others have a turn: 10 ms with two signatures each. */
export const JUDGED_IN_A_TURN = 32;

export type Digest = ControlQueries["digest"];

/** Frames of at most MAX_FRAME_BYTES, each way in order. Rejects when the other side is gone or too slow. */
export interface SyncFrames {
  read(): Promise<Uint8Array>;
  write(frame: Uint8Array): Promise<void>;
}

interface SyncSession {
  readonly isInitiator: boolean;
  readonly digest: Digest;
  readonly frames: SyncFrames;
  /** Core's verdict on a record from the other side. Core remembers it, so that merging costs little. */
  judge: ControlQueries["judgeRecord"];
  /** Resolves when others have had their turn. */
  turn(): Promise<void>;
  /** Records from the other side, none of them rejected; called once for each frame of them. */
  onRecords(records: readonly Uint8Array[]): void;
}

export interface SyncOutcome {
  readonly received: number;
  /** Of those received, what core accepts as new. */
  readonly fresh: number;
  readonly sent: number;
  /** There is more to hand over than one sync may. */
  readonly isPartial: boolean;
}

/** The other side does not follow the protocol. */
export class SyncFault extends Error {
  override readonly name = "SyncFault";
}

/** The other side handed over a record that core rejects. Honest members keep none. */
export class RejectedRecord extends Error {
  override readonly name = "RejectedRecord";
}

export async function syncRecords(session: SyncSession): Promise<SyncOutcome> {
  const { digest, isInitiator, frames } = session;
  const root = digest.root();
  if (equalBytes(root, await exchange(session, root, ROOT_BYTES))) return { received: 0, fresh: 0, sent: 0, isPartial: false };

  const hashes = digest.buckets();
  const differing = differingBuckets(hashes, await exchange(session, hashes, BUCKETS * BUCKET_BYTES));
  const { buckets, theirSummary, isPartial } = await exchangeSummaries(session, differing);

  const give = async (): Promise<Given> => giveRecords(frames, digest.missingFrom(buckets, theirSummary));
  if (isInitiator) {
    const given = await give();
    const taken = await takeRecords(session);
    return { ...taken, sent: given.records, isPartial: isPartial || given.isPartial };
  }
  const taken = await takeRecords(session);
  const given = await give();
  return { ...taken, sent: given.records, isPartial: isPartial || given.isPartial };
}

/** Both sides say one thing of known length, the initiator first. */
async function exchange({ frames, isInitiator }: SyncSession, mine: Uint8Array, length: number): Promise<Uint8Array> {
  if (isInitiator) await frames.write(mine);
  const theirs = await frames.read();
  if (theirs.length !== length) throw new SyncFault(`frame of ${theirs.length} bytes instead of ${length}`);
  if (!isInitiator) await frames.write(mine);
  return theirs;
}

function differingBuckets(mine: Uint8Array, theirs: Uint8Array): readonly number[] {
  const differs = (bucket: number): boolean => {
    const range = [bucket * BUCKET_BYTES, (bucket + 1) * BUCKET_BYTES] as const;
    return !equalBytes(mine.subarray(...range), theirs.subarray(...range));
  };
  return Array.from({ length: BUCKETS }, (_, bucket) => bucket).filter(differs);
}

interface Summaries {
  readonly buckets: readonly number[];
  readonly theirSummary: Uint8Array;
  readonly isPartial: boolean;
}

async function exchangeSummaries({ frames, isInitiator, digest }: SyncSession, differing: readonly number[]): Promise<Summaries> {
  if (isInitiator) {
    const offered = bucketsThatFit(digest, differing);
    await frames.write(encodeSummary(offered, digest.summary(offered)));
    const { buckets, summary } = decodeSummary(await frames.read(), new Set(offered));
    return { buckets, theirSummary: summary, isPartial: buckets.length < differing.length };
  }
  const offer = decodeSummary(await frames.read(), new Set(Array.from({ length: BUCKETS }, (_, bucket) => bucket)));
  const buckets = bucketsThatFit(digest, offer.buckets);
  await frames.write(encodeSummary(buckets, digest.summary(buckets)));
  return { buckets, theirSummary: offer.summary, isPartial: buckets.length < differing.length };
}

/** As many as one frame holds the summaries of, and always one up to 4.7 million records in all. */
function bucketsThatFit(digest: Digest, buckets: readonly number[]): readonly number[] {
  let length = SELECTION_BYTES;
  const fitting: number[] = [];
  for (const bucket of buckets) {
    length += digest.summary([bucket]).length;
    if (length > MAX_FRAME_BYTES) break;
    fitting.push(bucket);
  }
  return fitting;
}

export function encodeSummary(buckets: readonly number[], summary: Uint8Array): Uint8Array {
  const frame = new Uint8Array(SELECTION_BYTES + summary.length);
  for (const bucket of buckets) frame[bucket >> 3] = (frame[bucket >> 3] ?? 0) | (1 << (bucket & 7));
  frame.set(summary, SELECTION_BYTES);
  return frame;
}

export function decodeSummary(
  frame: Uint8Array,
  allowed: ReadonlySet<number>,
): { readonly buckets: readonly number[]; readonly summary: Uint8Array } {
  const summary = frame.subarray(SELECTION_BYTES);
  if (frame.length < SELECTION_BYTES || summary.length % SUMMARY_ENTRY_BYTES !== 0) throw new SyncFault(`summary of ${frame.length} bytes`);
  const buckets: number[] = [];
  for (let bucket = 0; bucket < BUCKETS; bucket++) if (((frame[bucket >> 3] ?? 0) >> (bucket & 7)) & 1) buckets.push(bucket);
  if (!buckets.every((bucket) => allowed.has(bucket))) throw new SyncFault("summary of buckets that nobody asked for");
  return { buckets, summary };
}

interface Given {
  readonly records: number;
  readonly isPartial: boolean;
}

async function giveRecords(frames: SyncFrames, missing: readonly Uint8Array[]): Promise<Given> {
  const batches = batchRecords(missing);
  for (const [i, batch] of batches.entries()) {
    const hasMore = i < batches.length - 1;
    await frames.write(encodeRecords(batch, hasMore));
    if (hasMore && (await frames.read()).length !== 0) throw new SyncFault("something else instead of a request for more records");
  }
  const records = batches.reduce((count, batch) => count + batch.length, 0);
  return { records, isPartial: records < missing.length };
}

/** At least one batch, which may be empty. What is beyond MAX_RECORDS_BYTES is left out. */
function batchRecords(records: readonly Uint8Array[]): readonly (readonly Uint8Array[])[] {
  const batches: Uint8Array[][] = [[]];
  let batchBytes = 0;
  let totalBytes = 0;
  for (const record of records) {
    const length = RECORD_HEADER_BYTES + record.length;
    totalBytes += length;
    if (totalBytes > MAX_RECORDS_BYTES) break;
    if (batchBytes + length > RECORDS_FRAME_BYTES) {
      batches.push([]);
      batchBytes = 0;
    }
    batchBytes += length;
    batches.at(-1)?.push(record);
  }
  return batches;
}

type Taken = Pick<SyncOutcome, "received" | "fresh">;

async function takeRecords(session: SyncSession): Promise<Taken> {
  const { frames, onRecords } = session;
  let received = 0;
  let fresh = 0;
  let bytes = 0;
  for (let hasMore = true; hasMore; ) {
    const frame = await frames.read();
    bytes += frame.length;
    const decoded = decodeRecords(frame);
    // A frame more than the sum: each has a byte of its own, and a sender that fills them exactly is honest.
    if (bytes > MAX_RECORDS_BYTES + RECORDS_FRAME_BYTES) throw new SyncFault("more records than one sync may bring");
    if (decoded.hasMore && decoded.records.length === 0) throw new SyncFault("no record in a frame, and more to follow");
    received += decoded.records.length;
    fresh += await judgeRecords(session, decoded.records);
    if (decoded.records.length > 0) onRecords(decoded.records);
    hasMore = decoded.hasMore;
    if (hasMore) await frames.write(new Uint8Array());
  }
  return { received, fresh };
}

/** How many are new. Throws RejectedRecord. */
async function judgeRecords({ judge, turn }: SyncSession, records: readonly Uint8Array[]): Promise<number> {
  let fresh = 0;
  for (const [i, record] of records.entries()) {
    if (i % JUDGED_IN_A_TURN === JUDGED_IN_A_TURN - 1) await turn();
    const verdict = judge(record);
    if (verdict === "reject") throw new RejectedRecord("a record that nobody may say");
    if (verdict === "accept") fresh += 1;
  }
  return fresh;
}

export function encodeRecords(records: readonly Uint8Array[], hasMore: boolean): Uint8Array {
  const frame = Buffer.alloc(records.reduce((length, record) => length + RECORD_HEADER_BYTES + record.length, 1));
  frame[0] = hasMore ? 1 : 0;
  let offset = 1;
  for (const record of records) {
    frame.writeUInt16BE(record.length, offset);
    frame.set(record, offset + RECORD_HEADER_BYTES);
    offset += RECORD_HEADER_BYTES + record.length;
  }
  return frame;
}

export function decodeRecords(frame: Uint8Array): { readonly records: readonly Uint8Array[]; readonly hasMore: boolean } {
  const more = frame[0];
  if ((more !== 0 && more !== 1) || frame.length > RECORDS_FRAME_BYTES + 1) throw new SyncFault("not a frame of records");
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const records: Uint8Array[] = [];
  for (let offset = 1; offset < frame.length; ) {
    const length = offset + RECORD_HEADER_BYTES <= frame.length ? view.getUint16(offset) : 0;
    const end = offset + RECORD_HEADER_BYTES + length;
    if (length === 0 || length > MAX_RECORD_BYTES || end > frame.length) throw new SyncFault("record out of its frame");
    records.push(frame.slice(offset + RECORD_HEADER_BYTES, end));
    offset = end;
  }
  return { records, hasMore: more === 1 };
}
