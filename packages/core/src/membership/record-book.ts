import type { NodeId } from "../ids/node-id.ts";
import type { RecordFault } from "../records/envelope.ts";
import type { RecordOpener, SignedRecord } from "../records/record.ts";
import type { RecordSet } from "../records/record-set.ts";
import { compileMembership, type Membership } from "./membership.ts";
import type { Trust, TrustFault } from "./trust.ts";

export type RecordRefusal = RecordFault | TrustFault | "too-many";

export type RecordVerdict =
  | { readonly outcome: "new"; readonly record: SignedRecord }
  | { readonly outcome: "known" }
  | { readonly outcome: "refused"; readonly fault: RecordRefusal };

/** Records of one admin: its certificates and removals. Bounds what a hostile admin can make everyone keep to some 10 MB. */
const MAX_RECORDS_OF_ADMIN = 16_384;
/** Records of one member: endpoint, removal of itself, and kinds of later versions. */
const MAX_RECORDS_OF_MEMBER = 16;

/** The records this node keeps and what follows from them. Nothing enters that the chain does not entitle its author to say. */
export class RecordBook {
  readonly #trust: Trust;
  readonly #opener: RecordOpener;
  readonly #set: RecordSet;
  #membership: Membership;
  /** Certificates or removals came since the membership was compiled; true only inside `merge`. */
  #isStale = false;

  constructor(options: { readonly trust: Trust; readonly opener: RecordOpener; readonly set: RecordSet }) {
    this.#trust = options.trust;
    this.#opener = options.opener;
    this.#set = options.set;
    this.#membership = compileMembership(options.trust, options.set.values());
  }

  get membership(): Membership {
    return this.#membership;
  }

  get set(): RecordSet {
    return this.#set;
  }

  /** Why the holder of this key, showing this certificate record, is no member; undefined when it is one. Pure. */
  refuseMember(node: NodeId, credentials: Uint8Array): string | undefined {
    const shown = this.#trust.believedCertificate(credentials);
    if (shown === undefined) return "shows no certificate that this network's root stands behind";
    if (shown.certificate.subject !== node) return "shows the certificate of another node";
    const end = this.#membership.endOf(shown.chain);
    return end === undefined ? undefined : `${end === "left" ? "left" : "was removed from"} the network`;
  }

  /** What merging these bytes would do. Pure. */
  judge(bytes: Uint8Array): RecordVerdict {
    const opened = this.#opener.open(bytes);
    if (!opened.ok) return { outcome: "refused", fault: opened.fault };
    const record = opened.value;
    if (!this.#set.wants(record)) return { outcome: "known" };
    const fault = this.#faultOf(record);
    return fault === undefined ? { outcome: "new", record } : { outcome: "refused", fault };
  }

  /** Merges records in the order of dependence. Returns the verdicts, in that order. */
  merge(records: readonly Uint8Array[]): readonly RecordVerdict[] {
    const verdicts = records
      .map((bytes) => ({ bytes, kind: bytes[1] ?? 0 }))
      .sort((a, b) => a.kind - b.kind)
      .map(({ bytes }) => {
        const verdict = this.judge(bytes);
        if (verdict.outcome === "new") this.#put(verdict.record);
        return verdict;
      });
    this.#settle();
    return verdicts;
  }

  #put(record: SignedRecord): void {
    this.#set.put(record);
    if (record.content.type === "certificate" || record.content.type === "removal") this.#isStale = true;
  }

  #settle(): void {
    if (!this.#isStale) return;
    this.#isStale = false;
    this.#membership = compileMembership(this.#trust, this.#set.values());
    // What a node says of itself goes when its membership goes.
    for (const kept of [...this.#set.values()]) {
      const isOwnWord = kept.content.type === "endpoint" || kept.content.type === "unknown";
      if (isOwnWord && !this.#membership.members.has(kept.author)) this.#set.remove(kept.id);
    }
  }

  #faultOf(record: SignedRecord): RecordRefusal | undefined {
    const { content } = record;
    switch (content.type) {
      case "network":
        return "foreign-network"; // our own was put in at the start: another one is another network's
      case "certificate": {
        const verdict = this.#trust.chainOf(record);
        return verdict.ok ? this.#faultOfCount(record) : verdict.fault;
      }
      case "removal":
        return this.#trust.faultOfRemoval(content.removal) ?? this.#faultOfCount(record);
      case "endpoint":
        if (content.endpoint.network !== this.#trust.network) return "foreign-network";
        return this.#isMember(record.author) ? this.#faultOfCount(record) : "not-entitled";
      case "unknown":
        return this.#isMember(record.author) ? this.#faultOfCount(record) : "not-entitled";
    }
  }

  #faultOfCount(record: SignedRecord): "too-many" | undefined {
    if (this.#set.get(record.id) !== undefined || record.author === this.#trust.statement.root) return undefined;
    return this.#set.countOf(record.author) < (this.#isOfAdmin(record) ? MAX_RECORDS_OF_ADMIN : MAX_RECORDS_OF_MEMBER)
      ? undefined
      : "too-many";
  }

  /** A removal shows its signer's certificate: it counts the same before that signer is known here and after it is gone. */
  #isOfAdmin({ author, content }: SignedRecord): boolean {
    if (content.type === "certificate") return true;
    if (content.type !== "removal") return this.#membership.members.get(author)?.certificate.role === "admin";
    return this.#trust.believedCertificate(content.removal.signerCertificate)?.certificate.role === "admin";
  }

  #isMember(id: NodeId): boolean {
    this.#settle();
    return this.#membership.members.has(id);
  }
}
