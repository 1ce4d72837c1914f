import { concatBytes } from "../bytes/bytes.ts";
import type { Decoded } from "../bytes/decoded.ts";
import { FieldReader } from "../bytes/fields.ts";
import { isName, MAX_NAME_BYTES } from "../bytes/name.ts";
import { utf8 } from "../bytes/text.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { type NetworkId, networkId, networkIdBytes } from "../ids/network-id.ts";
import { type NodeId, nodeId, nodeKey } from "../ids/node-id.ts";
import type { Millis } from "../time/millis.ts";
import { type Envelope, MAX_RECORD_BYTES, RECORD_KINDS, signRecord } from "./envelope.ts";

export type Role = "admin" | "member";

/** A run of node numbers an admin may hand out. */
export interface NumberBlock {
  readonly first: number;
  readonly count: number;
}

/**
 * A node's membership: who it is, which number it holds, who said so. Issued by root (for admins) or by an admin. The
 * record's sequence is the serial; it rises with every certificate the issuer signs.
 */
export interface Certificate {
  readonly network: NetworkId;
  readonly issuer: NodeId;
  readonly subject: NodeId;
  readonly serial: number;
  readonly role: Role;
  readonly name: string;
  readonly number: number;
  /** Raised by the issuer each time the number goes to another node. */
  readonly generation: number;
  /** Wall time of the first assignment of the number to this node; copied on re-issue. */
  readonly assignedWallAt: Millis;
  /** Admins only: numbers it may hand out. */
  readonly grant: readonly NumberBlock[];
  /** The subject's signature over the network id and its own key: nobody is made a member unasked. */
  readonly consent: Uint8Array; // 64 B
  /** The issuer's own certificate record, byte for byte; empty when the issuer is root. */
  readonly issuerCertificate: Uint8Array;
}

/** Blocks one admin may hold. */
const MAX_GRANT_BLOCKS = 64;
export const MAX_NUMBER = 65_535;
const CONSENT_LABEL = utf8("mesh-consent-1");

export function signConsent(crypto: Crypto, subject: SigningKey, network: NetworkId): Uint8Array {
  return crypto.sign(subject, consentMessage(network, subject.publicKey));
}

export function isConsent(crypto: Crypto, subject: NodeId, network: NetworkId, consent: Uint8Array): boolean {
  return crypto.verify(nodeKey(subject), consentMessage(network, nodeKey(subject)), consent);
}

export function signCertificate(crypto: Crypto, issuer: SigningKey, certificate: Omit<Certificate, "issuer">): Uint8Array {
  return signRecord(crypto, issuer, {
    kind: RECORD_KINDS.certificate,
    subject: nodeKey(certificate.subject),
    sequence: certificate.serial,
    body: [
      networkIdBytes(certificate.network),
      certificate.role === "admin",
      certificate.name,
      certificate.number,
      certificate.generation,
      certificate.assignedWallAt,
      certificate.grant.map((block) => [block.first, block.count]),
      certificate.consent,
      certificate.issuerCertificate,
    ],
  });
}

export function readCertificate(envelope: Envelope): Decoded<Certificate> {
  if (envelope.subject.length !== 32) return { ok: false, fault: "out-of-range" };
  const reader = new FieldReader(envelope.body);
  const network = networkId(reader.bytes(32));
  const role: Role = reader.flag() ? "admin" : "member";
  const name = reader.text(MAX_NAME_BYTES);
  const number = reader.whole(1, MAX_NUMBER);
  const generation = reader.whole(0, Number.MAX_SAFE_INTEGER);
  const assignedWallAt = reader.whole(0, Number.MAX_SAFE_INTEGER);
  const grant = reader.list(MAX_GRANT_BLOCKS, (block) => ({ first: block.whole(1, MAX_NUMBER), count: block.whole(1, MAX_NUMBER) }));
  const consent = reader.bytes(64);
  const issuerCertificate = reader.bytesUpTo(MAX_RECORD_BYTES);
  if (!isName(name) || (role === "member" && grant.length > 0)) return { ok: false, fault: "out-of-range" };
  const { author: issuer, sequence: serial } = envelope;
  const subject = nodeId(envelope.subject);
  return reader.finish({
    network,
    issuer,
    subject,
    serial,
    role,
    name,
    number,
    generation,
    assignedWallAt,
    grant,
    consent,
    issuerCertificate,
  });
}

export function isGranted(grant: readonly NumberBlock[], number: number): boolean {
  return grant.some((block) => number >= block.first && number < block.first + block.count);
}

function consentMessage(network: NetworkId, subjectKey: Uint8Array): Uint8Array {
  return concatBytes(CONSENT_LABEL, networkIdBytes(network), subjectKey);
}
