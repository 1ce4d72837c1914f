import { MAX_NAME_BYTES } from "../bytes/name.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { Certificate } from "../records/certificate.ts";
import type { SignedRecord } from "../records/record.ts";
import type { Removal } from "../records/removal.ts";
import type { Chain, Trust } from "./trust.ts";

export interface Member {
  readonly id: NodeId;
  readonly certificate: Certificate;
  /** The certificate record, as shown to others. */
  readonly record: Uint8Array;
  /** The certificate's name, with `-2`, `-3` … when an earlier member has it already. */
  readonly name: string;
  /** Another certificate won this number: the node is a member, but its prefix is not routed. */
  readonly isConflicted: boolean;
}

/** A node that was a member and is not any more. */
export interface FormerMember {
  readonly id: NodeId;
  readonly certificate: Certificate;
  readonly how: "left" | "removed";
}

export interface Membership {
  readonly members: ReadonlyMap<NodeId, Member>;
  readonly former: ReadonlyMap<NodeId, FormerMember>;
  /** How a chain ended, also of a certificate that is not here yet; undefined while it holds. */
  endOf(chain: Chain): FormerMember["how"] | undefined;
}

interface Claim {
  readonly certificate: Certificate;
  readonly record: Uint8Array;
}

/** Who is a member: a function of the records alone, whatever order they came in. */
export function compileMembership(trust: Trust, records: Iterable<SignedRecord>): Membership {
  const removals = new RemovalIndex();
  const chains: { readonly claim: Claim; readonly chain: Chain }[] = [];
  for (const record of records) {
    if (record.content.type === "removal") removals.add(record.content.removal);
    if (record.content.type !== "certificate") continue;
    const verdict = trust.chainOf(record);
    if (verdict.ok) chains.push({ claim: { certificate: record.content.certificate, record: record.bytes }, chain: verdict.chain });
  }

  const current = new Map<NodeId, Claim>();
  const former = new Map<NodeId, FormerMember>();
  for (const { claim, chain } of chains) {
    const how = removals.endOf(chain);
    const { subject } = claim.certificate;
    if (how === undefined) keepBetter(current, subject, claim, isNewer);
    else if (isLastOf(former, claim)) former.set(subject, { id: subject, certificate: claim.certificate, how });
  }
  for (const id of current.keys()) former.delete(id);

  const ownerOf = new Map<number, Claim>();
  for (const claim of current.values()) keepBetter(ownerOf, claim.certificate.number, claim, ownsNumberBefore);
  return { members: named([...current.values()], ownerOf), former, endOf: (chain) => removals.endOf(chain) };
}

/** Removals by target and signer. The set holds one record per pair, so what is here is already the latest word. */
class RemovalIndex {
  readonly #out = new Map<NodeId, Set<NodeId>>();

  add(removal: Removal): void {
    if (!removal.isOut) return;
    const signers = this.#out.get(removal.target) ?? new Set();
    this.#out.set(removal.target, signers.add(removal.signer));
  }

  /**
   * How the chain ended, or undefined while it holds. A removal ends those chains in which its signer stands above the
   * target; a node that leaves ends its own membership, not that of those it once admitted.
   */
  endOf(chain: Chain): FormerMember["how"] | undefined {
    const outBy = (target: NodeId, signer: NodeId): boolean => this.#out.get(target)?.has(signer) ?? false;
    if (outBy(chain.subject, chain.root)) return "removed";
    if (chain.admin !== undefined && (outBy(chain.subject, chain.admin) || outBy(chain.admin, chain.root))) return "removed";
    return outBy(chain.subject, chain.subject) ? "left" : undefined;
  }
}

function keepBetter<K>(map: Map<K, Claim>, key: K, claim: Claim, isBetter: (a: Certificate, b: Certificate) => boolean): void {
  const kept = map.get(key);
  if (kept === undefined || isBetter(claim.certificate, kept.certificate)) map.set(key, claim);
}

/** Of several certificates of one key the highest (generation, serial) counts; the issuer's key decides what is left. */
function isNewer(a: Certificate, b: Certificate): boolean {
  if (a.generation !== b.generation) return a.generation > b.generation;
  return a.serial !== b.serial ? a.serial > b.serial : a.issuer < b.issuer;
}

/** Of several ended certificates of one key the newest is remembered. */
function isLastOf(former: ReadonlyMap<NodeId, FormerMember>, { certificate }: Claim): boolean {
  const kept = former.get(certificate.subject);
  return kept === undefined || isNewer(certificate, kept.certificate);
}

/** Of several holders of one number: higher generation, then older assignment, then lower key. */
function ownsNumberBefore(a: Certificate, b: Certificate): boolean {
  if (a.generation !== b.generation) return a.generation > b.generation;
  return a.assignedWallAt !== b.assignedWallAt ? a.assignedWallAt < b.assignedWallAt : a.subject < b.subject;
}

/** Members by id, in order of number; a contested name stays with the certificate assigned first. */
function named(claims: readonly Claim[], ownerOf: ReadonlyMap<number, Claim>): ReadonlyMap<NodeId, Member> {
  const names = new Map<NodeId, string>();
  const taken = new Set<string>();
  const suffixes = new Map<string, number>(); // by name, the first not tried: thousands of one name must not cost their square
  const byAssignment = claims.toSorted(
    ({ certificate: a }, { certificate: b }) => a.assignedWallAt - b.assignedWallAt || (a.subject < b.subject ? -1 : 1),
  );
  for (const { certificate } of byAssignment) {
    let name = certificate.name;
    let n = suffixes.get(certificate.name) ?? 2;
    for (; taken.has(name); n++) name = suffixed(certificate.name, n);
    suffixes.set(certificate.name, n);
    taken.add(name);
    names.set(certificate.subject, name);
  }
  const byNumber = claims.toSorted(({ certificate: a }, { certificate: b }) => a.number - b.number || (a.subject < b.subject ? -1 : 1));
  return new Map(
    byNumber.map(({ certificate, record }) => {
      const id = certificate.subject;
      const isConflicted = ownerOf.get(certificate.number)?.certificate.subject !== id;
      return [id, { id, certificate, record, name: names.get(id) ?? certificate.name, isConflicted }];
    }),
  );
}

/** Still one DNS label: the name gives way to the suffix. */
function suffixed(name: string, n: number): string {
  const suffix = `-${n}`;
  return name.slice(0, MAX_NAME_BYTES - suffix.length) + suffix;
}
