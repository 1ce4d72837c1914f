import type { Random } from "./crypto.ts";

/** An unsigned 32-bit number. */
export function randomU32(random: Random): number {
  const bytes = random.bytes(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}

/** A whole number from 0 up to, not including, `limit`. The bias of the modulus is below limit / 2^32. */
export function randomBelow(random: Random, limit: number): number {
  return randomU32(random) % limit;
}
