import { concatBytes } from "./bytes.ts";

/** Builds bytes in network order; the mirror of ByteReader. Values out of range are programmer errors. */
export class ByteWriter {
  readonly #parts: Uint8Array[] = [];

  u8(value: number): this {
    return this.#number(1, (view) => view.setUint8(0, value));
  }

  u16(value: number): this {
    return this.#number(2, (view) => view.setUint16(0, value));
  }

  u32(value: number): this {
    return this.#number(4, (view) => view.setUint32(0, value));
  }

  u64(value: bigint): this {
    return this.#number(8, (view) => view.setBigUint64(0, value));
  }

  bytes(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    return this;
  }

  finish(): Uint8Array {
    return concatBytes(...this.#parts);
  }

  #number(length: number, write: (view: DataView) => void): this {
    const bytes = new Uint8Array(length);
    write(new DataView(bytes.buffer));
    this.#parts.push(bytes);
    return this;
  }
}
