/** Datagrams, frames of the control plane and files of the store: everything of fixed layout. */
import assert from "node:assert/strict";
import { decodeHello, encodeHello, type GossipHello } from "../../packages/agent/src/control/gossip-hello.ts";
import { decodeRecords, decodeSummary, encodeRecords, encodeSummary, SyncFault } from "../../packages/agent/src/control/record-sync.ts";
import { frameDocument, unframeDocument } from "../../packages/agent/src/store/document-frame.ts";
import type { Ip } from "../../packages/core/src/address/ip.ts";
import type { RelayHeader } from "../../packages/core/src/address/way.ts";
import { concatBytes } from "../../packages/core/src/bytes/bytes.ts";
import { crypto, SampleNetwork } from "../../packages/core/src/membership/sample-network-fixture.ts";
import { RecordSet } from "../../packages/core/src/records/record-set.ts";
import { datagramKind, PROBE_MAGIC } from "../../packages/core/src/wire/datagram-kind.ts";
import { decodeHandshakeMessage, encodeHandshakeMessage, type HandshakeMessage } from "../../packages/core/src/wire/handshake-message.ts";
import {
  decodeProbeBody,
  decodeProbeFrame,
  encodeProbeBody,
  encodeProbeHeader,
  MAX_OFFERED,
  PROBE_BODY_BYTES,
  type ProbeBody,
  type ProbeHeader,
} from "../../packages/core/src/wire/probe.ts";
import { encodeRelayHeader, type RelayLeg, unwrapRelayed, wrapRelayed } from "../../packages/core/src/wire/relay-header.ts";
import { type FuzzTarget, fuzz } from "./fuzz-target.ts";
import { byteKind, mutateBytes } from "./mutate-bytes.ts";

const fill = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

const handshakes: readonly HandshakeMessage[] = [
  {
    type: "initiation",
    senderIndex: 0xfedc_ba98,
    ephemeral: fill(32, 1),
    sealedStatic: fill(48, 2),
    sealedTimestamp: fill(28, 3),
    mac1: fill(16, 4),
    mac2: fill(16, 5),
  },
  {
    type: "response",
    senderIndex: 1,
    receiverIndex: 0xffff_ffff,
    ephemeral: fill(32, 1),
    sealedNothing: fill(16, 2),
    mac1: fill(16, 4),
    mac2: fill(16, 5),
  },
  { type: "cookie-reply", receiverIndex: 0x0102_0304, nonce: fill(24, 6), sealedCookie: fill(32, 7) },
];
const header: ProbeHeader = { keyId: fill(8, 1), bootId: fill(8, 2), counter: 0xfedc_ba98_7654_3210n };
const probes = [PROBE_BODY_BYTES + 16, 1_400].map((length) => concatBytes(encodeProbeHeader(header), fill(length, 7)));
const bodies: readonly ProbeBody[] = [
  { type: "ping", transaction: fill(8, 1), purpose: "discover" },
  { type: "pong", transaction: fill(8, 2), observed: { ip: "192.0.2.1" as Ip, port: 65_535 }, delayMicros: 0xffff_ffff },
  { type: "pong", transaction: fill(8, 3), observed: { ip: "2001:db8::1" as Ip, port: 1 }, delayMicros: 0 },
  { type: "recall", token: fill(8, 4), afterMillis: 24_500 },
  { type: "recalled", token: fill(8, 5) },
  { type: "punch", step: "busy" },
  { type: "punch", step: "plan", ports: { kind: "sequence", ip: "192.0.2.1" as Ip, first: 30_001, delta: 2, count: 64 } },
  { type: "locate", number: 65_535 },
  { type: "located", number: 1, ip: "192.0.2.9" as Ip },
];
const offers: readonly ProbeBody[] = [0, 1, MAX_OFFERED].map((count) => ({
  type: "offer",
  isAnswer: count === 1,
  to: fill(8, count),
  mapping: "endpoint-dependent",
  reflexive: [],
  own: Array.from({ length: count }, (_, i) => ({ ip: `192.0.2.${i + 1}` as Ip, port: 1 + i })),
}));
const [OFFER_KIND, OFFER_BYTES] = [3, 256];
const relayHeader: RelayHeader = { from: 0x0102, to: 0xffff, pass: 0xfedc_ba98 };
const relayed = (["to-relay", "from-relay"] as const).flatMap((leg) =>
  [1, 1_400].map((length) => wrapRelayed(leg, relayHeader, fill(length, 7))),
);

const datagrams: readonly FuzzTarget<Uint8Array>[] = [
  {
    name: "kind of a datagram",
    samples: [...handshakes.map(encodeHandshakeMessage), ...probes, ...relayed, Uint8Array.of(4, 0, 0, 0, ...fill(28, 1))],
    read: (bytes) => {
      const kind = datagramKind(bytes);
      return kind === "unknown" ? undefined : kind;
    },
  },
  {
    name: "handshake message",
    samples: handshakes.map(encodeHandshakeMessage),
    read: (bytes) => taken(decodeHandshakeMessage(bytes)),
    again: encodeHandshakeMessage,
  },
  {
    name: "probe",
    samples: probes,
    // The caller has seen the magic.
    read: (bytes) => (PROBE_MAGIC.every((byte, i) => bytes[i] === byte) ? taken(decodeProbeFrame(bytes)) : undefined),
    again: (frame: { readonly header: ProbeHeader; readonly sealed: Uint8Array }) =>
      concatBytes(encodeProbeHeader(frame.header), frame.sealed),
    make: (random) => {
      const bytes = mutateBytes(random, probes);
      bytes.set(PROBE_MAGIC.subarray(0, bytes.length));
      return bytes;
    },
  },
  {
    name: "body of a probe",
    samples: bodies.map(encodeProbeBody),
    // A PING may be longer, by zeros that mean nothing.
    read: (bytes) => (bytes.length > PROBE_BODY_BYTES ? undefined : taken(decodeProbeBody(bytes))),
    make: (random) => {
      const bytes = new Uint8Array(PROBE_BODY_BYTES);
      bytes.set(mutateBytes(random, bodies.map(encodeProbeBody)).subarray(0, PROBE_BODY_BYTES));
      return bytes;
    },
  },
  {
    name: "body of an offer",
    samples: offers.map(encodeProbeBody),
    // Of this size there are PINGs, too, with zeros behind.
    read: (bytes) => (bytes[0] === OFFER_KIND ? taken(decodeProbeBody(bytes)) : undefined),
    again: encodeProbeBody,
    make: (random) => {
      const bytes = new Uint8Array(OFFER_BYTES);
      bytes.set(mutateBytes(random, offers.map(encodeProbeBody)).subarray(0, OFFER_BYTES));
      bytes[0] = OFFER_KIND;
      return bytes;
    },
  },
  {
    name: "relay header",
    samples: relayed,
    read: (bytes) => {
      const leg = datagramKind(bytes);
      const unwrapped = leg === "to-relay" || leg === "from-relay" ? unwrapRelayed(bytes) : undefined;
      return unwrapped === undefined ? undefined : { leg, ...unwrapped };
    },
    again: ({ leg, header, datagram }: { readonly leg: RelayLeg; readonly header: RelayHeader; readonly datagram: Uint8Array }) =>
      wrapRelayed(leg, header, datagram),
    make: (random) => {
      const bytes = mutateBytes(random, relayed);
      bytes.set(encodeRelayHeader("to-relay", relayHeader).subarray(0, Math.min(4, bytes.length)));
      return bytes;
    },
  },
];

const network = new SampleNetwork();
const someRecords = [network.statementBytes, network.admin("admin", 16), network.endpoint("admin")];
const set = new RecordSet(crypto);
for (const bytes of someRecords) set.put(network.open(bytes));
const allBuckets = Array.from({ length: 256 }, (_, bucket) => bucket);
const summary = set.summary(allBuckets);

/** Their readers throw SyncFault, which ends the sync and costs the sender the link. */
const syncFrames: readonly FuzzTarget<Uint8Array>[] = [
  {
    name: "sync frame of records",
    samples: [encodeRecords(someRecords, false), encodeRecords(someRecords.slice(1), true), encodeRecords([], false)],
    read: (frame) => decodeRecords(frame),
    refuses: (error) => error instanceof SyncFault,
    again: ({ records, hasMore }: ReturnType<typeof decodeRecords>) => encodeRecords(records, hasMore),
  },
  {
    name: "sync frame of a summary, and what it asks for",
    samples: [encodeSummary(allBuckets, summary), encodeSummary([3, 200], new Uint8Array())],
    read: (frame) => {
      const decoded = decodeSummary(frame, new Set(allBuckets));
      return { ...decoded, missing: set.missingFrom(decoded.buckets, decoded.summary).length };
    },
    refuses: (error) => error instanceof SyncFault,
    again: ({ buckets, summary: entries }: ReturnType<typeof decodeSummary>) => encodeSummary(buckets, entries),
  },
];

const hello: readonly FuzzTarget<Uint8Array>[] = [
  {
    name: "question to a gossip neighbour",
    samples: (["question", "answer"] as const).map((kind) => encodeHello({ kind, nonce: fill(16, 9) })),
    read: decodeHello,
    again: (value: GossipHello) => encodeHello(value),
  },
];

const DOCUMENT = "records";
const CHECKSUM_BYTES = 32;
const documents = [frameDocument(DOCUMENT, fill(200, 3)), frameDocument(DOCUMENT, new Uint8Array())];

const storeFrames: readonly FuzzTarget<Uint8Array>[] = [
  {
    name: "file of a document",
    samples: documents,
    read: (file) => {
      const unframed = unframeDocument(DOCUMENT, file);
      if (!unframed.ok) assert.match(unframed.reason, /^(?:is|has|does) /);
      return unframed.ok ? unframed.payload : undefined;
    },
    again: (payload: Uint8Array) => frameDocument(DOCUMENT, payload),
    /** Wrong inside, with the right checksum. */
    make: (random) => {
      const content = mutateBytes(
        random,
        documents.map((file) => file.subarray(0, file.length - CHECKSUM_BYTES)),
      );
      return concatBytes(content, crypto.sha256(content));
    },
  },
];

fuzz(byteKind, [...datagrams, ...syncFrames, ...hello, ...storeFrames]);

function taken<T>(decoded: { readonly ok: true; readonly value: T } | { readonly ok: false }): T | undefined {
  return decoded.ok ? decoded.value : undefined;
}
