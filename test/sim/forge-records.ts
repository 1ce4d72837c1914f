import type { SimMesh, SimNode } from "@mesh/core/testing";
import { type Certificate, signCertificate, signConsent } from "../../packages/core/src/records/certificate.ts";
import { NOWHERE, signEndpointRecord } from "../../packages/core/src/records/endpoint-record.ts";
import { signRecord } from "../../packages/core/src/records/envelope.ts";
import { signNetworkStatement } from "../../packages/core/src/records/network-statement.ts";
import { signRemoval } from "../../packages/core/src/records/removal.ts";

/** Records with good signatures by the wrong people, each under what it tries. `member` is the forger, beside a stranger. */
export function forgeRecords(
  mesh: SimMesh,
  who: {
    readonly founder: SimNode;
    readonly member: SimNode;
    readonly others: readonly SimNode[];
    readonly foreign: readonly Uint8Array[];
  },
): readonly (readonly [string, Uint8Array])[] {
  const { crypto } = mesh;
  const { founder, member, others, foreign } = who;
  const stranger = crypto.signingKey(crypto.sha256(new Uint8Array(1)));
  const { network } = founder.node.trust;
  const sequence = Math.floor(mesh.clock.wallNow()) + 1_000_000;
  const own = certificateOf(member);
  const endpoints = { network, sequence, ...NOWHERE, udp: [member.udp], tcp: [member.udp], isStopped: false };
  const removal = { network, isOut: true, wallAt: sequence, sequence };
  const newCertificate = { ...own, serial: sequence, generation: 9, issuerCertificate: member.node.queries.credentials() };
  const founderCertificate = founder.node.queries.credentials();
  const consentOfStranger = signConsent(crypto, stranger, network);
  const subjectOfStranger = Buffer.from(stranger.publicKey).toString("hex") as Certificate["subject"];

  return [
    ...others.map(
      (other) => ["endpoint of another", authoredBy(other.key.publicKey, signEndpointRecord(crypto, member.key, endpoints))] as const,
    ),
    ["endpoint of a stranger", signEndpointRecord(crypto, stranger, endpoints)],
    ["endpoint for another network", signEndpointRecord(crypto, member.key, { ...endpoints, network: "00".repeat(32) as typeof network })],
    ["certificate by oneself", signCertificate(crypto, member.key, newCertificate)],
    ["certificate without a chain", signCertificate(crypto, member.key, { ...newCertificate, issuerCertificate: new Uint8Array() })],
    [
      "certificate with a chain of another",
      signCertificate(crypto, member.key, { ...newCertificate, issuerCertificate: founderCertificate }),
    ],
    [
      "own certificate with the role of an admin",
      signCertificate(crypto, member.key, { ...newCertificate, role: "admin", grant: [{ first: 1, count: 99 }] }),
    ],
    [
      "a role that only root gives",
      signCertificate(crypto, founder.key, {
        ...newCertificate,
        role: "admin",
        grant: [{ first: 1, count: 9 }],
        issuerCertificate: founderCertificate,
      }),
    ],
    [
      "a number outside the grant",
      signCertificate(crypto, founder.key, { ...newCertificate, number: 200, issuerCertificate: founderCertificate }),
    ],
    [
      "a number outside the network",
      signCertificate(crypto, founder.key, { ...newCertificate, number: 60_000, issuerCertificate: founderCertificate }),
    ],
    [
      "a member that a member admits",
      signCertificate(crypto, member.key, { ...newCertificate, subject: subjectOfStranger, consent: consentOfStranger, number: 7 }),
    ],
    [
      "a member that did not consent",
      signCertificate(crypto, founder.key, {
        ...newCertificate,
        subject: subjectOfStranger,
        number: 8,
        issuerCertificate: founderCertificate,
      }),
    ],
    ...others.map(
      (other) =>
        [
          "removal by a plain member",
          signRemoval(crypto, member.key, { ...removal, target: other.id, signerCertificate: member.node.queries.credentials() }),
        ] as const,
    ),
    [
      "removal by a member with an admin's certificate",
      signRemoval(crypto, member.key, { ...removal, target: founder.id, signerCertificate: founderCertificate }),
    ],
    ["removal by a stranger", signRemoval(crypto, stranger, { ...removal, target: founder.id, signerCertificate: new Uint8Array() })],
    ["a record of a later kind by a stranger", signRecord(crypto, stranger, { kind: 77, subject: new Uint8Array(), sequence, body: [] })],
    [
      "another statement of a network",
      signNetworkStatement(crypto, stranger, { name: "sim", prefix4: founder.node.trust.plan.prefix4, nodeLength: 24 }),
    ],
    ...foreign.map((record) => ["record of another network", record] as const),
  ];
}

/** The node's certificate once more, signed by root: an admin with numbers of its own. */
export function adminCertificate(mesh: SimMesh, node: SimNode): Uint8Array {
  if (mesh.root === undefined) throw new TypeError("no network was founded");
  const own = certificateOf(node);
  const serial = Math.floor(mesh.clock.wallNow()) + 1;
  return signCertificate(mesh.crypto, mesh.root, {
    ...own,
    serial,
    role: "admin",
    grant: [{ first: 17, count: 16 }],
    issuerCertificate: new Uint8Array(),
  });
}

function certificateOf(node: SimNode): Certificate {
  const believed = node.node.trust.believedCertificate(node.node.queries.credentials());
  if (believed === undefined) throw new TypeError(`${node.name} has no certificate`);
  return believed.certificate;
}

/** The record with another author written into it; the signature stays. */
function authoredBy(author: Uint8Array, record: Uint8Array): Uint8Array {
  const forged = record.slice();
  forged.set(author, 2);
  return forged;
}
