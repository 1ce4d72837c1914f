import type { MessageStream } from "@libp2p/interface";
import { lpStream } from "@libp2p/utils";

/**
 * Frames on a stream: each a varint length (unsigned LEB128, as multistream uses it) and that many bytes. A longer frame than the reader allows, or
 * more unread bytes than two such frames, resets the stream: what a hostile peer can make us keep is bounded by the limit.
 */
export interface Frames<S extends MessageStream = MessageStream> {
  read(signal: AbortSignal): Promise<Uint8Array>;
  write(frame: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Hands the stream back, with what was not read. */
  release(): S;
}

/** Unread bytes beyond one frame that may wait: what the other side sends right behind a handshake, a muxer's first streams. */
const UNREAD_BYTES = 262_144;

export function framesOf<S extends MessageStream>(stream: S, maxFrameBytes: number): Frames<S> {
  const framed = lpStream(stream, { maxDataLength: maxFrameBytes, maxBufferSize: maxFrameBytes + UNREAD_BYTES });
  return {
    read: async (signal) => (await framed.read({ signal })).slice(),
    write: (frame, signal) => framed.write(frame, { signal }),
    release: () => framed.unwrap(),
  };
}
