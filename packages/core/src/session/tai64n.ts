import { ByteWriter } from "../bytes/byte-writer.ts";
import { compareBytes } from "../bytes/bytes.ts";
import type { Millis } from "../time/millis.ts";

/** TAI64N is 8 bytes of seconds and 4 of nanoseconds, big-endian, so instants order as bytes do. */
export const TAI64N_BYTES = 12;

/** TAI64's 2^62 and the ten seconds by which TAI was ahead in 1970. Leap seconds are left out, as in wireguard-go. */
const EPOCH = 0x4000_0000_0000_000an;

/**
 * Nanoseconds are cut to multiples of this, as in wireguard-go: 17 ms. A finer clock in every handshake would tell an
 * observer of the plaintext side how this machine's time drifts. It stays below the 20 ms between two initiations.
 */
const STEP_NANOSECONDS = 2 ** 24;

/** From a wall-clock instant: milliseconds since 1970. Instants before 1970 count as 1970. */
export function encodeTai64n(wallAt: Millis): Uint8Array {
  const at = Math.max(0, wallAt);
  const second = Math.floor(at / 1_000);
  const nanoseconds = Math.floor((at - second * 1_000) * 1_000_000);
  return write(EPOCH + BigInt(second), nanoseconds - (nanoseconds % STEP_NANOSECONDS));
}

/** The wall-clock instant of a stamp of ours, in whole milliseconds, rounded up. */
export function tai64nWallAt(stamp: Uint8Array): Millis {
  const view = new DataView(stamp.buffer, stamp.byteOffset, TAI64N_BYTES);
  return Number(view.getBigUint64(0) - EPOCH) * 1_000 + Math.ceil(view.getUint32(8) / 1_000_000);
}

/** The stamp of `wallAt`, or the next one above `previous` when the wall clock stood still or went back. */
export function nextTai64n(previous: Uint8Array | undefined, wallAt: Millis): Uint8Array {
  const stamp = encodeTai64n(wallAt);
  return previous === undefined || compareBytes(stamp, previous) > 0 ? stamp : after(previous);
}

function after(stamp: Uint8Array): Uint8Array {
  const view = new DataView(stamp.buffer, stamp.byteOffset, TAI64N_BYTES);
  const nanoseconds = view.getUint32(8) + STEP_NANOSECONDS;
  return nanoseconds < 1_000_000_000 ? write(view.getBigUint64(0), nanoseconds) : write(view.getBigUint64(0) + 1n, 0);
}

function write(second: bigint, nanoseconds: number): Uint8Array {
  return new ByteWriter().u64(second).u32(nanoseconds).finish();
}
