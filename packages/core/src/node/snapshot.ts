import type { Decoded } from "../bytes/decoded.ts";
import { type Field, FieldReader, packFields, unpackFields } from "../bytes/fields.ts";
import { DEFAULT_RELAY_LIMIT, MAX_RELAY_LIMIT } from "../config/settings.ts";
import { nodeId, nodeKey } from "../ids/node-id.ts";
import { type Assignment, EMPTY_LEDGER, type Ledger, type OpenInvite } from "../membership/ledger.ts";
import { MAX_NUMBER } from "../records/certificate.ts";
import { MAX_RECORD_BYTES } from "../records/envelope.ts";
import type { Millis } from "../time/millis.ts";

/** What a node must find again after a crash: the store's `node` document. */
export interface NodeSnapshot {
  /** Record bytes. */
  readonly statement: Uint8Array;
  /** This node's own certificate record. */
  readonly certificate: Uint8Array;
  /** Last sequence of a record of its own. */
  readonly sequence: number;
  /** Chosen at random at first start and kept: NAT mappings and invites name them. */
  readonly udpPort: number;
  readonly tcpPort: number;
  /** Wall time that no handshake stamp is above; see session/stamp-clock.ts. */
  readonly stampsUntil: Millis;
  /** This node has ended its membership; what is stored is only waiting to be deleted. */
  readonly hasLeft: boolean;
  /** What this node relays for each member, in Mbit/s; 0: nothing. */
  readonly relayLimit: number;
  /** TCP port at which this node offers a way to those whose UDP is blocked; 0: it does not. */
  readonly tcpRelay: number;
  /** Of an admin; empty for others. */
  readonly ledger: Ledger;
}

/** Of a node that has just become a member, whichever way. */
export const NEW_MEMBER: Omit<NodeSnapshot, "statement" | "certificate" | "udpPort" | "tcpPort"> = {
  sequence: 0,
  stampsUntil: 0,
  hasLeft: false,
  relayLimit: DEFAULT_RELAY_LIMIT,
  tcpRelay: 0,
  ledger: EMPTY_LEDGER,
};

const VERSION = 4;
/** Without a TCP relay. */
const VERSION_3 = 3;
/** And without a relay limit. */
const VERSION_2 = 2;
const RECORDS_VERSION = 1;
const MAX_ENTRIES = 65_536;
const MAX_WHOLE = Number.MAX_SAFE_INTEGER;

export function encodeSnapshot(snapshot: NodeSnapshot): Uint8Array {
  const { statement, certificate, sequence, udpPort, tcpPort, stampsUntil, hasLeft, relayLimit, tcpRelay, ledger } = snapshot;
  const assignments = ledger.assignments.map((a): Field => [nodeKey(a.node), a.number, a.generation, a.certificate]);
  const invites = ledger.invites.map((i): Field => [nodeKey(i.invite), i.uses, i.expiresWallAt, i.usedBy.map((node) => [nodeKey(node)])]);
  return packFields([
    VERSION,
    statement,
    certificate,
    sequence,
    udpPort,
    tcpPort,
    stampsUntil,
    hasLeft,
    relayLimit,
    tcpRelay,
    ledger.serial,
    assignments,
    invites,
  ]);
}

export function decodeSnapshot(bytes: Uint8Array): Decoded<NodeSnapshot> {
  const fields = unpackFields(bytes);
  if (!fields.ok) return fields;
  const reader = new FieldReader(fields.value);
  const version = reader.whole(0, 255);
  if (version < VERSION_2 || version > VERSION) return { ok: false, fault: "unknown-version" };
  const statement = reader.bytesUpTo(MAX_RECORD_BYTES);
  const certificate = reader.bytesUpTo(MAX_RECORD_BYTES);
  const sequence = reader.whole(0, MAX_WHOLE);
  const udpPort = reader.whole(0, 65_535);
  const tcpPort = reader.whole(0, 65_535);
  const stampsUntil = reader.whole(0, MAX_WHOLE);
  const hasLeft = reader.flag();
  const relayLimit = version >= VERSION_3 ? reader.whole(0, MAX_RELAY_LIMIT) : DEFAULT_RELAY_LIMIT;
  const tcpRelay = version >= VERSION ? reader.whole(0, 65_535) : 0;
  const serial = reader.whole(0, MAX_WHOLE);
  const assignments = reader.list(MAX_ENTRIES, readAssignment);
  const invites = reader.list(MAX_ENTRIES, readInvite);
  const ledger: Ledger = { ...EMPTY_LEDGER, serial, assignments, invites };
  return reader.finish({ statement, certificate, sequence, udpPort, tcpPort, stampsUntil, hasLeft, relayLimit, tcpRelay, ledger });
}

/** The store's `records` document. */
export function encodeRecords(records: Iterable<Uint8Array>): Uint8Array {
  return packFields([RECORDS_VERSION, [...records].map((record) => [record])]);
}

export function decodeRecords(bytes: Uint8Array): Decoded<readonly Uint8Array[]> {
  const fields = unpackFields(bytes);
  if (!fields.ok) return fields;
  const reader = new FieldReader(fields.value);
  if (reader.whole(0, 255) !== RECORDS_VERSION) return { ok: false, fault: "unknown-version" };
  return reader.finish(reader.list(Number.MAX_SAFE_INTEGER, (record) => record.bytesUpTo(MAX_RECORD_BYTES)));
}

function readAssignment(reader: FieldReader): Assignment {
  return {
    node: nodeId(reader.bytes(32)),
    number: reader.whole(1, MAX_NUMBER),
    generation: reader.whole(0, MAX_WHOLE),
    certificate: reader.bytesUpTo(MAX_RECORD_BYTES),
  };
}

function readInvite(reader: FieldReader): OpenInvite {
  return {
    invite: nodeId(reader.bytes(32)),
    uses: reader.whole(1, 65_535),
    expiresWallAt: reader.whole(0, MAX_WHOLE),
    usedBy: reader.list(MAX_ENTRIES, (node) => nodeId(node.bytes(32))),
  };
}
