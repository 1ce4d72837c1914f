/**
 * Records and the messages made of them, as anybody may send them. Signatures count as right here: what is fuzzed is what
 * reads a body that its author really signed. That a wrong signature is refused is for packages/core/src/records.
 */
import assert from "node:assert/strict";
import { nodeCrypto } from "@mesh/core/node-crypto";
import { parseEndpoint } from "../../packages/core/src/address/endpoint.ts";
import { type Field, packFields, unpackFields } from "../../packages/core/src/bytes/fields.ts";
import type { Crypto } from "../../packages/core/src/crypto/crypto.ts";
import { type NodeId, parseNodeId } from "../../packages/core/src/ids/node-id.ts";
import { parseInvite } from "../../packages/core/src/membership/invite.ts";
import {
  decodeJoinResponse,
  encodeJoinResponse,
  JOIN_REFUSALS,
  makeJoinRequest,
  openJoinRequest,
} from "../../packages/core/src/membership/join-message.ts";
import { crypto, idOf, keyOf, NOTHING, SampleNetwork } from "../../packages/core/src/membership/sample-network-fixture.ts";
import { decodeRecords, decodeSnapshot, encodeRecords, encodeSnapshot } from "../../packages/core/src/node/snapshot.ts";
import { type Envelope, openEnvelope, type RECORD_KINDS, signRecord } from "../../packages/core/src/records/envelope.ts";
import { type RecordContent, RecordOpener } from "../../packages/core/src/records/record.ts";
import { type FuzzTarget, fuzz } from "./fuzz-target.ts";
import { byteKind } from "./mutate-bytes.ts";
import { mutateFields } from "./mutate-fields.ts";
import { inviteLine } from "./sample-invite.ts";

const believing: Crypto = { ...nodeCrypto(), sign: () => new Uint8Array(64), verify: () => true };
const network = new SampleNetwork();
const admin = network.admin("admin", 16);
const udp = ["192.0.2.1:51820", "[2001:db8::1]:1024"].map((text) => parseEndpoint(text) ?? assert.fail());
const certificate = network.certificate("member", { number: 17, issuerCertificate: admin }, "admin");

const records: Readonly<Record<keyof typeof RECORD_KINDS | "unknown", readonly Uint8Array[]>> = {
  network: [network.statementBytes],
  certificate: [admin, certificate],
  removal: [network.removal("root", "member"), network.removal("admin", "member", { signerCertificate: admin, isOut: false })],
  endpoint: [
    network.endpoint("member", { udp, tcp: udp.slice(1) }),
    network.endpoint("member"),
    network.endpoint("member", { isReachable: true, isRelay: true, homes: [idOf("a"), idOf("i")] }),
  ],
  unknown: [signRecord(crypto, keyOf("member"), { kind: 77, subject: Uint8Array.of(1), sequence: 3, body: ["new", [[1], null]] })],
};
const someRecords = [network.statementBytes, certificate];

function recordTarget(kind: string, samples: readonly Uint8Array[]): FuzzTarget<Uint8Array> {
  const opener = new RecordOpener(believing);
  const envelopes = samples.map((bytes) => {
    const opened = openEnvelope(believing, bytes);
    return opened.ok ? opened.value : assert.fail(opened.fault);
  });
  const bodies = envelopes.map(({ body }) => body);
  return {
    name: `record, ${kind}`,
    samples,
    read: (bytes) => {
      const opened = opener.open(bytes);
      if (opened.ok) for (const id of namedIn(opened.value.content)) assert.equal(parseNodeId(id), id);
      return opened.ok ? { ...opened.value.content, sequence: opened.value.sequence, bytes: opened.value.bytes } : undefined;
    },
    again: ({ bytes }: { readonly bytes: Uint8Array }) => bytes,
    /** Signed by its author, with another body, subject or sequence. */
    make: (random) => {
      const { kind, subject, sequence } = random.pick(envelopes) ?? assert.fail();
      const choice: Omit<Envelope, "author"> = {
        kind: random.below(10) === 0 ? random.below(256) : kind,
        subject: random.below(8) === 0 ? random.bytes(random.below(256)) : subject,
        sequence: random.below(8) === 0 ? Number.MAX_SAFE_INTEGER : sequence,
        body: mutateFields(random, bodies),
      };
      return signRecord(believing, keyOf("member"), choice);
    },
  };
}

/** Nodes that a record speaks of, besides its author. */
function namedIn(content: RecordContent): readonly NodeId[] {
  if (content.type === "certificate") return [content.certificate.subject];
  if (content.type === "endpoint") return content.endpoint.homes;
  return content.type === "removal" ? [content.removal.target] : [];
}

/** What a message of packed fields says, mutated field by field. `tail`: what follows the fields. */
function fieldsTarget(target: Omit<FuzzTarget<Uint8Array>, "make">, tail = 0): FuzzTarget<Uint8Array> {
  const messages = target.samples.map((bytes): readonly Field[] => {
    const fields = unpackFields(bytes.subarray(0, bytes.length - tail));
    return fields.ok ? fields.value : assert.fail(fields.fault);
  });
  return { ...target, make: (random) => Buffer.concat([packFields(mutateFields(random, messages)), new Uint8Array(tail)]) };
}

function taken<T>(decoded: { readonly ok: true; readonly value: T } | { readonly ok: false }): T | undefined {
  return decoded.ok ? decoded.value : undefined;
}

const opened = parseInvite(crypto, inviteLine(network));
const invite = typeof opened === "string" ? assert.fail(opened) : opened;
const joinRequest = makeJoinRequest(crypto, { invite, key: keyOf("joiner"), name: "laptop-b" });
const snapshot = {
  statement: network.statementBytes,
  certificate,
  sequence: 5,
  udpPort: 51_820,
  tcpPort: 443,
  stampsUntil: 1_790_000_000_000,
  hasLeft: false,
  relayLimit: 100,
  tcpRelay: 443,
  ledger: {
    serial: 9,
    assignments: [{ node: idOf("a"), number: 17, generation: 3, certificate }],
    invites: [
      { invite: idOf("i"), uses: 2, expiresWallAt: 5, usedBy: [idOf("a")] },
      { invite: idOf("j"), uses: 1, expiresWallAt: 0, usedBy: [] },
    ],
  },
};

fuzz(byteKind, [
  ...Object.entries(records).map(([kind, samples]) => recordTarget(kind, samples)),
  fieldsTarget(
    {
      name: "join request",
      samples: [joinRequest],
      read: (bytes) => taken(openJoinRequest(believing, bytes)),
    },
    128,
  ),
  fieldsTarget({
    name: "join response",
    samples: [
      encodeJoinResponse({ outcome: "admitted", certificate, records: someRecords }),
      ...JOIN_REFUSALS.map((reason) => encodeJoinResponse({ outcome: "refused", reason })),
    ],
    read: (bytes) => taken(decodeJoinResponse(bytes)),
    again: encodeJoinResponse,
  }),
  fieldsTarget({
    name: "node document",
    samples: [
      encodeSnapshot(snapshot),
      encodeSnapshot({ ...snapshot, certificate: NOTHING, ledger: { serial: 0, assignments: [], invites: [] } }),
    ],
    read: (bytes) => taken(decodeSnapshot(bytes)),
    again: encodeSnapshot,
  }),
  fieldsTarget({
    name: "records document",
    samples: [encodeRecords(someRecords), encodeRecords([])],
    read: (bytes) => taken(decodeRecords(bytes)),
    again: encodeRecords,
  }),
]);
