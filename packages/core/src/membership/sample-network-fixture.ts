// A network with keys from names, for the tests of records and membership.
import assert from "node:assert/strict";
import { nodeCrypto } from "../../node-crypto.ts";
import { addressPlan } from "../address/address-plan.ts";
import { parsePrefix } from "../address/prefix.ts";
import { concatBytes, equalBytes } from "../bytes/bytes.ts";
import { utf8 } from "../bytes/text.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { networkId, networkIdBytes } from "../ids/network-id.ts";
import { type NodeId, nodeId } from "../ids/node-id.ts";
import { type Certificate, signCertificate, signConsent } from "../records/certificate.ts";
import { type EndpointRecord, NOWHERE, signEndpointRecord } from "../records/endpoint-record.ts";
import { openEnvelope } from "../records/envelope.ts";
import { readNetworkStatement, signNetworkStatement } from "../records/network-statement.ts";
import { RecordOpener, type SignedRecord } from "../records/record.ts";
import { RecordSet } from "../records/record-set.ts";
import { signRemoval } from "../records/removal.ts";
import { memoCrypto } from "../testing/memo-crypto.ts";
import { RecordBook } from "./record-book.ts";
import { Trust } from "./trust.ts";

export const crypto: Crypto = memoCrypto(nodeCrypto());
/** Where tens of thousands of signatures are checked: a hash anyone could make, bound to key and message as a signature is. */
export const quickCrypto: Crypto = {
  ...crypto,
  sign: ({ publicKey }, message) => quickSignature(publicKey, message),
  verify: (publicKey, message, signature) => equalBytes(quickSignature(publicKey, message), signature),
};

function quickSignature(publicKey: Uint8Array, message: Uint8Array): Uint8Array {
  const hash = crypto.sha256(concatBytes(publicKey, message));
  return concatBytes(hash, hash);
}

export const NOTHING: Uint8Array = new Uint8Array();

/** The same name always gives the same key. */
export function keyOf(name: string): SigningKey {
  return crypto.signingKey(crypto.sha256(utf8(name)));
}

export function idOf(name: string): NodeId {
  return nodeId(keyOf(name).publicKey);
}

export type CertificateChoice = Partial<Certificate> & { readonly number: number };

export class SampleNetwork {
  readonly root: SigningKey;
  readonly rootName: string;
  readonly statementBytes: Uint8Array;
  readonly id: ReturnType<typeof networkId>;
  readonly opener: RecordOpener = new RecordOpener(crypto);
  readonly trust: Trust;
  #sequence = 1_000;

  constructor(rootName = "root", cidr = "10.77.0.0/16") {
    const prefix4 = parsePrefix(cidr) ?? assert.fail(cidr);
    this.rootName = rootName;
    this.root = keyOf(rootName);
    this.statementBytes = signNetworkStatement(crypto, this.root, { name: "home", prefix4, nodeLength: prefix4.length + 8 });
    this.id = networkId(crypto.sha256(this.statementBytes));
    const envelope = openEnvelope(crypto, this.statementBytes);
    const statement = envelope.ok ? readNetworkStatement(envelope.value) : envelope;
    assert.ok(statement.ok);
    this.trust = new Trust({ crypto, opener: this.opener, network: this.id, statement: statement.value });
  }

  get plan(): ReturnType<typeof addressPlan> {
    return addressPlan(this.trust.statement.prefix4, this.trust.statement.nodeLength, networkIdBytes(this.id));
  }

  /** A certificate for `name` by root, or by `issuer` who shows `issuerCertificate`. */
  certificate(name: string, choice: CertificateChoice, issuer: string = this.rootName): Uint8Array {
    return signCertificate(crypto, keyOf(issuer), {
      network: this.id,
      subject: idOf(name),
      serial: this.#sequence++,
      role: "member",
      name,
      generation: 0,
      assignedWallAt: 5_000,
      grant: [],
      consent: signConsent(crypto, keyOf(name), this.id),
      issuerCertificate: NOTHING,
      ...choice,
    });
  }

  /** An admin made by root, which may hand out `count` numbers from its own on. */
  admin(name: string, number: number, count = 16): Uint8Array {
    return this.certificate(name, { number, role: "admin", grant: [{ first: number, count }] });
  }

  /** `signer` says that `target` is out, showing `signerCertificate`. */
  removal(
    signer: string,
    target: string,
    choice: { readonly isOut?: boolean; readonly sequence?: number; readonly signerCertificate?: Uint8Array } = {},
  ): Uint8Array {
    return signRemoval(crypto, keyOf(signer), {
      network: this.id,
      target: idOf(target),
      isOut: true,
      wallAt: 6_000,
      signerCertificate: NOTHING,
      sequence: this.#sequence++,
      ...choice,
    });
  }

  endpoint(name: string, choice: Partial<EndpointRecord & { readonly sequence: number }> = {}): Uint8Array {
    return signEndpointRecord(crypto, keyOf(name), {
      network: this.id,
      ...NOWHERE,
      isStopped: false,
      sequence: this.#sequence++,
      ...choice,
    });
  }

  open(bytes: Uint8Array): SignedRecord {
    const opened = this.opener.open(bytes);
    assert.ok(opened.ok);
    return opened.value;
  }

  /** An empty book of a node of this network; it knows the statement. */
  book(): RecordBook {
    const set = new RecordSet(crypto);
    set.put(this.open(this.statementBytes));
    return new RecordBook({ trust: this.trust, opener: this.opener, set });
  }
}

/** What a book believes, comparable: members, who was one, names, conflicts. */
export function beliefOf({ membership }: RecordBook): unknown {
  const members = [...membership.members.values()].map(({ id, certificate, name, isConflicted }) => [
    id,
    certificate.number,
    certificate.serial,
    name,
    isConflicted,
  ]);
  const former = [...membership.former.values()].map(({ id, certificate, how }) => [id, certificate.number, certificate.serial, how]);
  return { members, former: former.sort() };
}
