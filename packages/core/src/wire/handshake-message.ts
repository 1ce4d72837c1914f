import { ByteReader } from "../bytes/byte-reader.ts";
import { ByteWriter } from "../bytes/byte-writer.ts";
import type { Decoded } from "../bytes/decoded.ts";

// WireGuard's messages 1 to 3 (whitepaper section 5.4). Message 4, transport data, is the engine's.
//
//  type      0     4         8           12 (or 8)     …                                mac1   mac2
//  1  148 B  | 1   | sender  | ephemeral 32 | sealed static 48 | sealed timestamp 28 | 16 B | 16 B |
//  2   92 B  | 2   | sender  | receiver     | ephemeral 32     | sealed nothing 16   | 16 B | 16 B |
//  3   64 B  | 3   | receiver| nonce 24     | sealed cookie 32 |
//
// Numbers are little-endian, unlike everything else on our wires, so they are read and written here and not by
// ByteReader. The type is a whole 32-bit word: stock peers drop a message whose three reserved bytes are not zero.

export const INITIATION_TYPE = 1;
export const RESPONSE_TYPE = 2;
export const COOKIE_REPLY_TYPE = 3;

export const INITIATION_BYTES = 148;
export const RESPONSE_BYTES = 92;
export const COOKIE_REPLY_BYTES = 64;

/** mac1 and mac2, each. */
export const MAC_BYTES = 16;

export interface HandshakeInitiation {
  readonly type: "initiation";
  readonly senderIndex: number; // u32
  readonly ephemeral: Uint8Array; // 32 B
  readonly sealedStatic: Uint8Array; // 48 B
  readonly sealedTimestamp: Uint8Array; // 28 B
  readonly mac1: Uint8Array; // 16 B
  readonly mac2: Uint8Array; // 16 B
}

export interface HandshakeResponse {
  readonly type: "response";
  readonly senderIndex: number; // u32
  readonly receiverIndex: number; // u32
  readonly ephemeral: Uint8Array; // 32 B
  readonly sealedNothing: Uint8Array; // 16 B
  readonly mac1: Uint8Array; // 16 B
  readonly mac2: Uint8Array; // 16 B
}

export interface CookieReply {
  readonly type: "cookie-reply";
  readonly receiverIndex: number; // u32
  readonly nonce: Uint8Array; // 24 B
  readonly sealedCookie: Uint8Array; // 32 B
}

export type HandshakeMessage = HandshakeInitiation | HandshakeResponse | CookieReply;

/** Exact sizes and type words only. Nothing in the result is authenticated. */
export function decodeHandshakeMessage(bytes: Uint8Array): Decoded<HandshakeMessage> {
  const reader = new ByteReader(bytes);
  const type = u32(reader);
  if (reader.isShort) return { ok: false, fault: "truncated" };
  switch (type) {
    case INITIATION_TYPE:
      return reader.finish<HandshakeMessage>({
        type: "initiation",
        senderIndex: u32(reader),
        ephemeral: reader.bytes(32),
        sealedStatic: reader.bytes(48),
        sealedTimestamp: reader.bytes(28),
        mac1: reader.bytes(MAC_BYTES),
        mac2: reader.bytes(MAC_BYTES),
      });
    case RESPONSE_TYPE:
      return reader.finish<HandshakeMessage>({
        type: "response",
        senderIndex: u32(reader),
        receiverIndex: u32(reader),
        ephemeral: reader.bytes(32),
        sealedNothing: reader.bytes(16),
        mac1: reader.bytes(MAC_BYTES),
        mac2: reader.bytes(MAC_BYTES),
      });
    case COOKIE_REPLY_TYPE:
      return reader.finish<HandshakeMessage>({
        type: "cookie-reply",
        receiverIndex: u32(reader),
        nonce: reader.bytes(24),
        sealedCookie: reader.bytes(32),
      });
    default:
      return { ok: false, fault: "unknown-kind" };
  }
}

export function encodeHandshakeMessage(message: HandshakeMessage): Uint8Array {
  const writer = new ByteWriter();
  switch (message.type) {
    case "initiation":
      return writer
        .bytes(littleEndian(INITIATION_TYPE))
        .bytes(littleEndian(message.senderIndex))
        .bytes(message.ephemeral)
        .bytes(message.sealedStatic)
        .bytes(message.sealedTimestamp)
        .bytes(message.mac1)
        .bytes(message.mac2)
        .finish();
    case "response":
      return writer
        .bytes(littleEndian(RESPONSE_TYPE))
        .bytes(littleEndian(message.senderIndex))
        .bytes(littleEndian(message.receiverIndex))
        .bytes(message.ephemeral)
        .bytes(message.sealedNothing)
        .bytes(message.mac1)
        .bytes(message.mac2)
        .finish();
    case "cookie-reply":
      return writer
        .bytes(littleEndian(COOKIE_REPLY_TYPE))
        .bytes(littleEndian(message.receiverIndex))
        .bytes(message.nonce)
        .bytes(message.sealedCookie)
        .finish();
  }
}

/** What mac1 of an encoded initiation or response covers: all before it. A view, as are all of these. */
export function mac1Input(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.length - 2 * MAC_BYTES);
}

export function mac1Of(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(bytes.length - 2 * MAC_BYTES, bytes.length - MAC_BYTES);
}

/** What mac2 covers: all before it, mac1 included. */
export function mac2Input(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.length - MAC_BYTES);
}

export function mac2Of(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(bytes.length - MAC_BYTES);
}

/** The sender's index in an encoded initiation or response. */
export function senderIndexOf(bytes: Uint8Array): number {
  return u32(new ByteReader(bytes.subarray(4)));
}

function u32(reader: ByteReader): number {
  return (reader.u8() | (reader.u8() << 8) | (reader.u8() << 16) | (reader.u8() << 24)) >>> 0;
}

function littleEndian(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}
