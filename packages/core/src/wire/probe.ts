import type { Endpoint } from "../address/endpoint.ts";
import { ipBytes16, ipFromBytes } from "../address/ip.ts";
import { ByteReader } from "../bytes/byte-reader.ts";
import { ByteWriter } from "../bytes/byte-writer.ts";
import { concatBytes } from "../bytes/bytes.ts";
import type { Decoded } from "../bytes/decoded.ts";
import { MAX_OWN_DATAGRAM_BYTES, PROBE_MAGIC } from "./datagram-kind.ts";

//  0       4     5            8          16          24            32            32+b      48+b
//  +-------+-----+------------+----------+-----------+-------------+-------------+---------+
//  | "!msh"| ver | reserved 3 | keyId 8  | bootId 8  | counter u64 | sealed body | tag 16  |
//  +-------+-----+------------+----------+-----------+-------------+-------------+---------+
// ChaCha20-Poly1305 under a key of this pair of nodes, this direction and this boot of the sender (path/probe-keys.ts);
// nonce: 4 zero bytes and the counter; associated data: the 32 bytes before the body. To a stranger it is noise that
// nobody answers.
const VERSION = 1;
export const PROBE_HEADER_BYTES = 32;
const TAG_BYTES = 16;

/** A PONG is never larger than the PING that asks for it: nobody can use us to amplify. Both bodies have this size at least. */
export const PROBE_BODY_BYTES = 40;

export interface ProbeHeader {
  /** Names the pair and direction; only the two of them can tell which. */
  readonly keyId: Uint8Array; // 8 B
  /** Random, new at every start of the sender. */
  readonly bootId: Uint8Array; // 8 B
  readonly counter: bigint;
}

export type ProbePurpose = "discover" | "triggered" | "heartbeat";
const PURPOSES: readonly ProbePurpose[] = ["discover", "triggered", "heartbeat"];

export type ProbeBody =
  | { readonly type: "ping"; readonly transaction: Uint8Array; readonly purpose: ProbePurpose }
  | {
      readonly type: "pong";
      readonly transaction: Uint8Array; // 8 B, of the PING it answers
      /** Where the PING came from: the asker's reflexive address. */
      readonly observed: Endpoint;
      /** Between receiving the PING and sending this, in µs. */
      readonly delayMicros: number;
    };

export function encodeProbeHeader(header: ProbeHeader): Uint8Array {
  return new ByteWriter()
    .bytes(PROBE_MAGIC)
    .u8(VERSION)
    .bytes(new Uint8Array(3))
    .bytes(header.keyId)
    .bytes(header.bootId)
    .u64(header.counter)
    .finish();
}

/** The caller has seen the magic (datagramKind). `sealed` is body and tag. */
export function decodeProbeFrame(bytes: Uint8Array): Decoded<{ readonly header: ProbeHeader; readonly sealed: Uint8Array }> {
  if (bytes.length > MAX_OWN_DATAGRAM_BYTES) return { ok: false, fault: "too-long" };
  const reader = new ByteReader(bytes);
  reader.bytes(4);
  const version = reader.u8();
  const reserved = reader.bytes(3);
  const header = { keyId: reader.bytes(8), bootId: reader.bytes(8), counter: reader.u64() };
  const sealed = reader.bytes(Math.max(PROBE_BODY_BYTES + TAG_BYTES, bytes.length - PROBE_HEADER_BYTES));
  const frame = reader.finish({ header, sealed });
  if (!frame.ok) return frame;
  if (version !== VERSION) return { ok: false, fault: "unknown-version" };
  return reserved.every((byte) => byte === 0) ? frame : { ok: false, fault: "not-canonical" };
}

export function encodeProbeBody(body: ProbeBody): Uint8Array {
  const writer = new ByteWriter();
  if (body.type === "ping") writer.u8(1).bytes(body.transaction).u8(PURPOSES.indexOf(body.purpose));
  else writer.u8(2).bytes(body.transaction).bytes(ipBytes16(body.observed.ip)).u16(body.observed.port).u32(body.delayMicros);
  const bytes = writer.finish();
  return concatBytes(bytes, new Uint8Array(PROBE_BODY_BYTES - bytes.length));
}

/** Bytes after the fields are padding and must be zero. */
export function decodeProbeBody(bytes: Uint8Array): Decoded<ProbeBody> {
  const reader = new ByteReader(bytes);
  const type = reader.u8();
  const transaction = reader.bytes(8);
  let body: ProbeBody;
  if (type === 1) {
    const purpose = PURPOSES[reader.u8()];
    if (purpose === undefined) return { ok: false, fault: "out-of-range" };
    body = { type: "ping", transaction, purpose };
  } else if (type === 2) {
    const observed = { ip: ipFromBytes(reader.bytes(16)), port: reader.u16() };
    body = { type: "pong", transaction, observed, delayMicros: reader.u32() };
  } else {
    return { ok: false, fault: "unknown-kind" };
  }
  const padding = reader.bytes(Math.max(0, bytes.length - reader.offset));
  const end = reader.finish(body);
  if (!end.ok) return end;
  return padding.every((byte) => byte === 0) ? end : { ok: false, fault: "not-canonical" };
}
