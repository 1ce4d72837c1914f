// What passes between us and the relay that holds the TUN device; tun-relay.pl says the format.

const LENGTH_BYTES = 2;
const REFUSED_BYTES = 4;

export interface RelayFrameHandler {
  /** A view, valid for as long as nobody writes to the chunks. */
  onPacket(packet: Uint8Array): void;
  /** So many packets were not taken by the device. */
  onRefused(count: number): void;
}

/** A packet of 1 to 65,535 bytes as a frame. */
export function encodeRelayFrame(packet: Uint8Array): Uint8Array {
  const frame = new Uint8Array(LENGTH_BYTES + packet.length);
  frame[0] = packet.length >> 8;
  frame[1] = packet.length;
  frame.set(packet, LENGTH_BYTES);
  return frame;
}

/** Cuts the relay's stream into frames, however it was chopped. Holds at most one frame that is not complete. */
export class RelayFrameReader {
  readonly #handler: RelayFrameHandler;
  #rest: Uint8Array = new Uint8Array();

  constructor(handler: RelayFrameHandler) {
    this.#handler = handler;
  }

  push(chunk: Uint8Array): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    while (bytes.length - at >= LENGTH_BYTES) {
      const length = view.getUint16(at);
      const end = at + LENGTH_BYTES + (length === 0 ? REFUSED_BYTES : length);
      if (end > bytes.length) break;
      if (length === 0) this.#handler.onRefused(view.getUint32(at + LENGTH_BYTES));
      else this.#handler.onPacket(bytes.subarray(at + LENGTH_BYTES, end));
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }
}
