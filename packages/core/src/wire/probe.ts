import type { Endpoint } from "../address/endpoint.ts";
import { type Ip, ipBytes16, ipFromBytes } from "../address/ip.ts";
import { ByteReader } from "../bytes/byte-reader.ts";
import { ByteWriter } from "../bytes/byte-writer.ts";
import { concatBytes } from "../bytes/bytes.ts";
import type { Decoded } from "../bytes/decoded.ts";
import type { Millis } from "../time/millis.ts";
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

/** Endpoints in one OFFER. */
export const MAX_OFFERED = 12;
/** Every OFFER has this size, so that its answer is no larger: kind, flag, counts, boot, MAX_OFFERED endpoints, and room for what comes later. */
const OFFER_BODY_BYTES = 256;

export interface ProbeHeader {
  /** Names the pair and direction; only the two of them can tell which. */
  readonly keyId: Uint8Array; // 8 B
  /** Random, new at every start of the sender. */
  readonly bootId: Uint8Array; // 8 B
  readonly counter: bigint;
}

/**
 * `sample`: tell me where this comes from, and think nothing of it. `nominate`: of all that met, this is the way I take.
 * `unheard`: probes pass between us, and packets of yours do not.
 */
export type ProbePurpose = "discover" | "triggered" | "heartbeat" | "sample" | "nominate" | "unheard";
const PURPOSES: readonly ProbePurpose[] = ["discover", "triggered", "heartbeat", "sample", "nominate", "unheard"];

export type ProbeBody =
  | { readonly type: "ping"; readonly transaction: Uint8Array; readonly purpose: ProbePurpose }
  | {
      readonly type: "pong";
      readonly transaction: Uint8Array; // 8 B, of the PING it answers
      /** Where the PING came from: the asker's reflexive address. Of a relayed PING, the relay's. */
      readonly observed: Endpoint;
      /** Between receiving the PING and sending this, in µs. */
      readonly delayMicros: number;
    }
  /**
   * Where the sender may be found now. It sends PINGs, or does so as soon as it gets the answer; whoever gets this does the same.
   * `to`: the boot of the receiver that the sender heard last, NO_BOOT for none. What was said to an earlier one is old.
   */
  | ({ readonly type: "offer"; readonly isAnswer: boolean; readonly mapping: Mapping; readonly to: Uint8Array } & Offered)
  /** A search that takes both ends and further sockets: what the sender does, or where it may be met (punch/hard-punch.ts, fresh-punch.ts). */
  | { readonly type: "punch"; readonly step: PunchStep; readonly ports?: PortPlan }
  /** Where is the member with this number? */
  | { readonly type: "locate"; readonly number: number }
  | { readonly type: "located"; readonly number: number; readonly ip: Ip }
  /** Send this token back, where this came from, after so long; of several the last counts. */
  | { readonly type: "recall"; readonly token: Uint8Array; readonly afterMillis: number }
  | { readonly type: "recalled"; readonly token: Uint8Array };

/** Nobody has to remember a recall for longer. */
export const MAX_RECALL_AFTER: Millis = 60_000;

/** 8 zero bytes. */
export const NO_BOOT: Uint8Array = new Uint8Array(8);

/** Endpoints of an OFFER, MAX_OFFERED in all: of the sender's host, and as others see it. */
export interface Offered {
  readonly own: readonly Endpoint[];
  readonly reflexive: readonly Endpoint[];
}

/** What stands between a node and the peers that see it, by their words (RFC 4787, section 4.1). */
export type Mapping =
  | "unknown" // nobody has said anything
  | "none" // it is seen at its own address
  | "endpoint-independent" // all see the same port, or only one was heard
  | "endpoint-dependent"; // each sees another port
const MAPPINGS: readonly Mapping[] = ["unknown", "none", "endpoint-independent", "endpoint-dependent"];

/** Steps with ports, and steps without. */
const PORT_STEPS = ["ready", "plan", "fresh", "fresh-answer"] as const;
const BARE_STEPS = ["want", "ask", "busy", "no"] as const;
export type PunchStep = (typeof PORT_STEPS)[number] | (typeof BARE_STEPS)[number];
const PUNCH_STEPS: readonly PunchStep[] = [...PORT_STEPS, ...BARE_STEPS];

/** `one`: first alone. `sequence`: first, first + delta, … so many. `range`: any of so many from first on. All within 1 to 65,535. */
export interface PortPlan {
  readonly kind: "one" | "sequence" | "range";
  readonly ip: Ip;
  readonly first: number;
  readonly delta: number; // 1 to 255; 1 but for a sequence
  readonly count: number; // 1 for one
}
const PLAN_KINDS: readonly PortPlan["kind"][] = ["one", "sequence", "range"];

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
  switch (body.type) {
    case "ping":
      writer.u8(1).bytes(body.transaction).u8(PURPOSES.indexOf(body.purpose));
      break;
    case "pong":
      writer.u8(2).bytes(body.transaction).bytes(ipBytes16(body.observed.ip)).u16(body.observed.port).u32(body.delayMicros);
      break;
    case "offer": {
      const endpoints = [...body.reflexive, ...body.own];
      if (endpoints.length > MAX_OFFERED) throw new RangeError(`an offer holds ${MAX_OFFERED} endpoints, not ${endpoints.length}`);
      writer
        .u8(3)
        .u8(body.isAnswer ? 1 : 0)
        .u8(MAPPINGS.indexOf(body.mapping))
        .u8(body.reflexive.length)
        .u8(body.own.length)
        .bytes(body.to);
      for (const { ip, port } of endpoints) writer.bytes(ipBytes16(ip)).u16(port);
      break;
    }
    case "punch": {
      writer.u8(4).u8(PUNCH_STEPS.indexOf(body.step));
      if (body.ports === undefined) break;
      const { kind, ip, first, delta, count } = body.ports;
      writer.u8(PLAN_KINDS.indexOf(kind)).bytes(ipBytes16(ip)).u16(first).u8(delta).u16(count);
      break;
    }
    case "locate":
      writer.u8(5).u16(body.number);
      break;
    case "located":
      writer.u8(6).u16(body.number).bytes(ipBytes16(body.ip));
      break;
    case "recall":
      writer.u8(7).bytes(body.token).u32(body.afterMillis);
      break;
    case "recalled":
      writer.u8(8).bytes(body.token);
      break;
  }
  const bytes = writer.finish();
  return concatBytes(bytes, new Uint8Array((body.type === "offer" ? OFFER_BODY_BYTES : PROBE_BODY_BYTES) - bytes.length));
}

/** Bytes after the fields are padding and must be zero. */
export function decodeProbeBody(bytes: Uint8Array): Decoded<ProbeBody> {
  const reader = new ByteReader(bytes);
  const body = readBody(reader, bytes.length);
  if (typeof body === "string") return { ok: false, fault: body };
  const padding = reader.bytes(Math.max(0, bytes.length - reader.offset));
  const end = reader.finish(body);
  if (!end.ok) return end;
  return padding.every((byte) => byte === 0) ? end : { ok: false, fault: "not-canonical" };
}

function readBody(reader: ByteReader, length: number): ProbeBody | "out-of-range" | "unknown-kind" {
  switch (reader.u8()) {
    case 1: {
      const transaction = reader.bytes(8);
      const purpose = PURPOSES[reader.u8()];
      return purpose === undefined ? "out-of-range" : { type: "ping", transaction, purpose };
    }
    case 2: {
      const transaction = reader.bytes(8);
      const observed = readEndpoint(reader);
      if (observed.port === 0) return "out-of-range";
      return { type: "pong", transaction, observed, delayMicros: reader.u32() };
    }
    case 3: {
      const flag = reader.u8();
      const mapping = MAPPINGS[reader.u8()];
      const reflexive = reader.u8();
      const count = reflexive + reader.u8();
      const to = reader.bytes(8);
      if (flag > 1 || mapping === undefined || count > MAX_OFFERED || length !== OFFER_BODY_BYTES) return "out-of-range";
      const endpoints = Array.from({ length: count }, () => readEndpoint(reader));
      if (endpoints.some(({ port }) => port === 0)) return "out-of-range";
      return {
        type: "offer",
        isAnswer: flag === 1,
        mapping,
        to,
        own: endpoints.slice(reflexive),
        reflexive: endpoints.slice(0, reflexive),
      };
    }
    case 4: {
      const step = PUNCH_STEPS[reader.u8()];
      if (step === undefined) return "out-of-range";
      if (BARE_STEPS.some((bare) => bare === step)) return { type: "punch", step };
      const ports = readPlan(reader);
      return ports === undefined ? "out-of-range" : { type: "punch", step, ports };
    }
    case 5:
      return { type: "locate", number: reader.u16() };
    case 6:
      return { type: "located", number: reader.u16(), ip: ipFromBytes(reader.bytes(16)) };
    case 7: {
      const token = reader.bytes(8);
      const afterMillis = reader.u32();
      return afterMillis > MAX_RECALL_AFTER ? "out-of-range" : { type: "recall", token, afterMillis };
    }
    case 8:
      return { type: "recalled", token: reader.bytes(8) };
    default:
      return "unknown-kind";
  }
}

function readPlan(reader: ByteReader): PortPlan | undefined {
  const kind = PLAN_KINDS[reader.u8()];
  const [ip, first, delta, count] = [ipFromBytes(reader.bytes(16)), reader.u16(), reader.u8(), reader.u16()];
  const isWithin = first > 0 && delta > 0 && count > 0 && first + delta * (count - 1) <= 65_535;
  const isOfKind = (kind === "sequence" || delta === 1) && (kind !== "one" || count === 1);
  return kind === undefined || !isWithin || !isOfKind ? undefined : { kind, ip, first, delta, count };
}

function readEndpoint(reader: ByteReader): Endpoint {
  return { ip: ipFromBytes(reader.bytes(16)), port: reader.u16() };
}
