import type { Stream } from "@libp2p/interface";
import type { Clock, ControlQueries, Millis } from "@mesh/core/ports";
import { withDeadline } from "./deadline.ts";
import { framesOf } from "./frames.ts";
import { type Digest, MAX_FRAME_BYTES, type SyncOutcome, syncRecords } from "./record-sync.ts";
import { endingStream } from "./stream-end.ts";

export const SYNC_PROTOCOL = "/mesh/sync/1";
/** For one sync: 8 MiB at 1.5 Mb/s. */
const SYNC_TIMEOUT: Millis = 45_000;
/** For one frame, so that a peer that went silent does not hold a place for long. */
const FRAME_TIMEOUT: Millis = 10_000;
/** That one peer may run with us: one of each side's starting. */
export const MAX_SYNC_STREAMS = 2;

export interface StreamSync {
  readonly isInitiator: boolean;
  /** Of SYNC_PROTOCOL; it is closed, or reset when the sync fails. */
  open(signal: AbortSignal): Promise<Stream>;
  readonly digest: Digest;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  judge: ControlQueries["judgeRecord"];
  onRecords(records: readonly Uint8Array[]): void;
}

/** One run of record-sync.ts on a libp2p stream. */
export async function syncOverStream({ isInitiator, open, digest, clock, signal, judge, onRecords }: StreamSync): Promise<SyncOutcome> {
  return await withDeadline({ clock, timeout: SYNC_TIMEOUT, signal }, async (deadline) => {
    const stream = await open(deadline);
    return await endingStream(stream, deadline, async () => {
      const frames = framesOf(stream, MAX_FRAME_BYTES);
      const limit = { clock, timeout: FRAME_TIMEOUT, signal: deadline };
      return await syncRecords({
        isInitiator,
        digest,
        judge,
        turn: () => new Promise((resolve) => clock.at(clock.now(), resolve)),
        onRecords,
        frames: {
          read: () => withDeadline(limit, (soon) => frames.read(soon)),
          write: (frame) => withDeadline(limit, (soon) => frames.write(frame, soon)),
        },
      });
    });
  });
}
