import type { Decoded } from "./decoded.ts";

/**
 * Reads untrusted bytes in network order. A read past the end yields zeros and is remembered, so a decoder
 * checks once, in {@link finish}, not at every field.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;
  #short = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#advance(1) ? this.#view.getUint8(this.#offset - 1) : 0;
  }

  u16(): number {
    return this.#advance(2) ? this.#view.getUint16(this.#offset - 2) : 0;
  }

  u32(): number {
    return this.#advance(4) ? this.#view.getUint32(this.#offset - 4) : 0;
  }

  u64(): bigint {
    return this.#advance(8) ? this.#view.getBigUint64(this.#offset - 8) : 0n;
  }

  /** A copy: what is kept outlives the packet buffer. */
  bytes(length: number): Uint8Array {
    return this.#advance(length) ? this.#bytes.slice(this.#offset - length, this.#offset) : new Uint8Array(Math.min(length, 65_536));
  }

  finish<T>(value: T): Decoded<T> {
    if (this.#short) return { ok: false, fault: "truncated" };
    if (this.#offset !== this.#bytes.length) return { ok: false, fault: "trailing-bytes" };
    return { ok: true, value };
  }

  get offset(): number {
    return this.#offset;
  }

  get isShort(): boolean {
    return this.#short;
  }

  #advance(count: number): boolean {
    if (this.#offset + count > this.#bytes.length) this.#short = true;
    else this.#offset += count;
    return !this.#short;
  }
}
