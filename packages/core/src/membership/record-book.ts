import { BoundedMap } from "../bytes/bounded-map.ts";
import type { NodeId } from "../ids/node-id.ts";
import { claimedAuthor, claimedKind, RECORD_KINDS, type RecordFault } from "../records/envelope.ts";
import type { RecordId, RecordOpener, SignedRecord } from "../records/record.ts";
import { type RecordSet, recordClass } from "../records/record-set.ts";
import type { Millis } from "../time/millis.ts";
import { TokenBucket } from "../time/token-bucket.ts";
import { compileMembership, type Membership } from "./membership.ts";
import type { Trust, TrustFault } from "./trust.ts";

export type RecordRefusal = RecordFault | TrustFault | "too-many" | "too-fast";

/** Of what an honest member may pass on: the author's certificate may be on the way here, or its version newer than ours. */
export const BLAMELESS: ReadonlySet<RecordRefusal> = new Set(["not-entitled", "too-many", "too-fast", "unknown-version"]);

export type RecordVerdict =
  | { readonly outcome: "new"; readonly record: SignedRecord }
  | { readonly outcome: "known" }
  | { readonly outcome: "refused"; readonly fault: RecordRefusal };

/** Records of one admin: its certificates and removals. Bounds what a hostile admin can make everyone keep to some 10 MB. */
const MAX_RECORDS_OF_ADMIN = 16_384;
/** Records of one member, and of anyone in kinds of later versions, which may be of any size. */
const MAX_RECORDS_OF_MEMBER = 16;

/** Changes of one record: a few at once, then one in 5 s; what comes faster waits for the next sync. Honest nodes tell three at once and one in 10 s. */
const CHANGES = { burst: 4, perSecond: 0.2 };
/** Records whose pace is remembered; all others may change. */
const PACED_RECORDS = 4_096;

/** The records this node keeps and what follows from them. Nothing enters that the chain does not entitle its author to say. */
export class RecordBook {
  readonly #trust: Trust;
  readonly #opener: RecordOpener;
  readonly #set: RecordSet;
  readonly #paces = new BoundedMap<RecordId, TokenBucket>(PACED_RECORDS);
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

  /** What merging these bytes would do, their pace apart. Pure. */
  judge(bytes: Uint8Array): RecordVerdict {
    // Before any signature is checked: what only a member may say, and a stranger's key costs nothing to make.
    if (isOwnWord(bytes) && !this.#isMember(claimedAuthor(bytes))) return { outcome: "refused", fault: "not-entitled" };
    const opened = this.#opener.open(bytes);
    if (!opened.ok) return { outcome: "refused", fault: opened.fault };
    const record = opened.value;
    if (!this.#set.wants(record)) return { outcome: "known" };
    const fault = this.#faultOf(record);
    return fault === undefined ? { outcome: "new", record } : { outcome: "refused", fault };
  }

  /** Merges records in the order of dependence. Returns the verdicts, in that order. `now`: they come from others and keep a pace. */
  merge(records: readonly Uint8Array[], now?: Millis): readonly RecordVerdict[] {
    const verdicts = records
      .map((bytes) => ({ bytes, kind: claimedKind(bytes) }))
      .sort((a, b) => a.kind - b.kind)
      .map(({ bytes }): RecordVerdict => {
        const verdict = this.judge(bytes);
        if (verdict.outcome !== "new") return verdict;
        if (now !== undefined && !this.#keepsPace(verdict.record, now)) return { outcome: "refused", fault: "too-fast" };
        this.#put(verdict.record);
        return verdict;
      });
    this.#settle();
    return verdicts;
  }

  #keepsPace({ id }: SignedRecord, now: Millis): boolean {
    if (this.#set.get(id) === undefined) return true;
    const pace = this.#paces.get(id) ?? new TokenBucket(CHANGES);
    this.#paces.set(id, pace);
    return pace.take(now);
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
    const kind = recordClass(record);
    const bound = kind === "known" && this.#isOfAdmin(record) ? MAX_RECORDS_OF_ADMIN : MAX_RECORDS_OF_MEMBER;
    return this.#set.countOf(record.author, kind) < bound ? undefined : "too-many";
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

/** Said by a node about itself: worth nothing unless it is a member. The other kinds carry their own right. */
function isOwnWord(bytes: Uint8Array): boolean {
  return claimedKind(bytes) >= RECORD_KINDS.endpoint;
}
