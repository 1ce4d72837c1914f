// Transport data (WireGuard whitepaper, section 5.4.6), little-endian:
//
//   0  u32  type 4        4  u32  receiver index        8  u64  counter        16  sealed padded packet, tag 16 B

export const TRANSPORT_HEADER_BYTES = 16;
export const TAG_BYTES = 16;
export const TRANSPORT_MIN_BYTES: number = TRANSPORT_HEADER_BYTES + TAG_BYTES;
const TYPE_TRANSPORT = 4;
const PADDING_MULTIPLE = 16;

export interface TransportHeader {
  readonly receiverIndex: number; // u32
  readonly counter: bigint; // u64
}

/** Of a datagram of TRANSPORT_MIN_BYTES or more. */
export function readTransportHeader(datagram: Uint8Array): TransportHeader {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  return { receiverIndex: view.getUint32(4, true), counter: view.getBigUint64(8, true) };
}

/** Header and sealed bytes as one datagram. */
export function writeTransport({ receiverIndex, counter }: TransportHeader, sealed: Uint8Array): Uint8Array {
  const datagram = new Uint8Array(TRANSPORT_HEADER_BYTES + sealed.length);
  const view = new DataView(datagram.buffer);
  view.setUint32(0, TYPE_TRANSPORT, true);
  view.setUint32(4, receiverIndex, true);
  view.setBigUint64(8, counter, true);
  datagram.set(sealed, TRANSPORT_HEADER_BYTES);
  return datagram;
}

/** WireGuard's nonce: 4 zero bytes and the counter, little-endian. */
export function transportNonce(counter: bigint): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, counter, true);
  return nonce;
}

/** Bytes of zeros to append so that lengths tell less: to the next multiple of 16, never beyond the MTU. */
export function paddingBytes(length: number, mtu: number): number {
  const last = length > mtu ? length % mtu : length;
  const padded = Math.ceil(last / PADDING_MULTIPLE) * PADDING_MULTIPLE;
  return Math.min(padded, mtu) - last;
}
