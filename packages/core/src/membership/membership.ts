import { MAX_NAME_BYTES } from "../bytes/name.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { Certificate } from "../records/certificate.ts";
import type { SignedRecord } from "../records/record.ts";
import type { Removal } from "../records/removal.ts";
import type { Millis } from "../time/millis.ts";
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
  /** 0: root issued it; else the number of the admin that did, as root signed it. */
  readonly issuerRank: number;
  /** When the number was assigned; no admin can date it before it became one itself. */
  readonly assignedWallAt: Millis;
}

/** Who is a member: a function of the records alone, whatever order they came in. */
export function compileMembership(trust: Trust, records: Iterable<SignedRecord>): Membership {
  const removals = new RemovalIndex();
  const chains: { readonly claim: Claim; readonly chain: Chain }[] = [];
  for (const record of records) {
    if (record.content.type === "removal") removals.add(record.content.removal);
    if (record.content.type !== "certificate") continue;
    const verdict = trust.chainOf(record);
    if (verdict.ok) chains.push({ claim: claimOf(record.content.certificate, record.bytes, verdict.chain), chain: verdict.chain });
  }

  const current = new Map<NodeId, Claim>();
  const former = new Map<NodeId, FormerMember>();
  for (const { claim, chain } of chains) {
    const how = removals.endOf(chain);
    const { subject } = claim.certificate;
    if (how === undefined) keepBetter(current, subject, claim, isBefore);
    else if (isLastOf(former, claim)) former.set(subject, { id: subject, certificate: claim.certificate, how });
  }
  for (const id of current.keys()) former.delete(id);

  const ownerOf = new Map<number, Claim>();
  for (const claim of current.values()) keepBetter(ownerOf, claim.certificate.number, claim, ownsNumberBefore);
  return { members: named([...current.values()], ownerOf), former, endOf: (chain) => removals.endOf(chain) };
}

function claimOf(certificate: Certificate, record: Uint8Array, { admin }: Chain): Claim {
  const assignedWallAt = Math.max(certificate.assignedWallAt, admin?.assignedWallAt ?? 0);
  return { certificate, record, issuerRank: admin?.number ?? 0, assignedWallAt };
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
    const { admin } = chain;
    if (admin !== undefined && (outBy(chain.subject, admin.id) || outBy(admin.id, chain.root))) return "removed";
    return outBy(chain.subject, chain.subject) ? "left" : undefined;
  }
}

function keepBetter<K>(map: Map<K, Claim>, key: K, claim: Claim, isBetter: (a: Claim, b: Claim) => boolean): void {
  const kept = map.get(key);
  if (kept === undefined || isBetter(claim, kept)) map.set(key, claim);
}

/**
 * Of several certificates of one key: root's before any admin's, then the earlier admin's, so that no admin can take a
 * member over from another; of one issuer the highest (generation, serial).
 */
function isBefore(a: Claim, b: Claim): boolean {
  return a.issuerRank !== b.issuerRank ? a.issuerRank < b.issuerRank : isNewer(a.certificate, b.certificate);
}

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
function ownsNumberBefore(a: Claim, b: Claim): boolean {
  const [one, other] = [a.certificate, b.certificate];
  return one.generation !== other.generation ? one.generation > other.generation : isAssignedBefore(a, b);
}

function isAssignedBefore(a: Claim, b: Claim): boolean {
  return a.assignedWallAt !== b.assignedWallAt ? a.assignedWallAt < b.assignedWallAt : a.certificate.subject < b.certificate.subject;
}

/** Nobody's among `taken`: the name wanted, or with the first number behind it that is free. */
export function freeName(wanted: string, taken: ReadonlySet<string>): string {
  return firstFree(wanted, taken, 2).name;
}

/** Members by id, in order of number; a name that two admins gave at once stays with the certificate assigned first. */
function named(claims: readonly Claim[], ownerOf: ReadonlyMap<number, Claim>): ReadonlyMap<NodeId, Member> {
  const names = new Map<NodeId, string>();
  const taken = new Set<string>();
  const suffixes = new Map<string, number>(); // by name, the first not tried: thousands of one name must not cost their square
  const byAssignment = claims.toSorted((a, b) => (isAssignedBefore(a, b) ? -1 : 1));
  for (const { certificate } of byAssignment) {
    const first = suffixes.get(certificate.name) ?? 2;
    const { name, next } = firstFree(certificate.name, taken, first);
    suffixes.set(certificate.name, next);
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

function firstFree(wanted: string, taken: ReadonlySet<string>, from: number): { readonly name: string; readonly next: number } {
  let name = wanted;
  let n = from;
  for (; taken.has(name); n++) name = suffixed(wanted, n);
  return { name, next: n };
}

/** Still one DNS label: the name gives way to the suffix. */
function suffixed(name: string, n: number): string {
  const suffix = `-${n}`;
  return name.slice(0, MAX_NAME_BYTES - suffix.length) + suffix;
}
