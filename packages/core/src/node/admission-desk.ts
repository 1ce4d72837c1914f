import { formatEndpoint } from "../address/endpoint.ts";
import type { InviteView } from "../api/views.ts";
import type { Crypto, Random, SigningKey } from "../crypto/crypto.ts";
import { MeshError } from "../errors.ts";
import { type NodeId, nodeId } from "../ids/node-id.ts";
import { formatInvite, type InviteMember, MAX_INVITE_MEMBERS } from "../membership/invite.ts";
import { encodeJoinResponse, type JoinRefusal, type JoinRequest, openJoinRequest } from "../membership/join-message.ts";
import { type Admission, admit, type Ledger, nextGrantBlock, nextSerial, openInvite } from "../membership/ledger.ts";
import type { RecordBook } from "../membership/record-book.ts";
import type { Trust } from "../membership/trust.ts";
import type { JoinId } from "../ports/control-plane.ts";
import { type Certificate, signCertificate } from "../records/certificate.ts";
import { MAX_JOIN_RECORD_BYTES, MAX_JOIN_RECORDS } from "../records/join-bounds.ts";
import type { Millis } from "../time/millis.ts";
import type { Counters } from "./counters.ts";
import type { NodeEffect } from "./node-effect.ts";

/** What the desk needs of the node around it. */
export interface AdmissionSurroundings {
  readonly crypto: Crypto;
  readonly random: Random;
  readonly key: SigningKey;
  /** The network's root key, where this node holds it. */
  readonly root: SigningKey | undefined;
  readonly trust: Trust;
  readonly book: RecordBook;
  readonly counters: Counters;
  wallNow(): Millis;
  isLinked(node: NodeId): boolean;
  /** Where members can be reached by TCP, this node first. */
  reachableMembers(): readonly InviteMember[];
  /** Merges records of our own making and tells everyone. */
  announce(records: readonly Uint8Array[]): readonly NodeEffect[];
  /** What this node wrote down last, durable or on its way there. */
  ledger(): Ledger;
  /** This node's own certificate record, likewise. */
  certificate(): Uint8Array;
  /** From now on these are the ledger (and the certificate); `then` runs when they are durable. */
  commit(change: LedgerChange, then: () => readonly NodeEffect[]): readonly NodeEffect[];
  /** Runs after everything committed so far is durable. */
  whenDurable(then: () => readonly NodeEffect[]): readonly NodeEffect[];
}

export interface LedgerChange {
  readonly ledger: Ledger;
  readonly certificate?: Uint8Array;
}

/** What an admin stands on. */
type Standing = Required<LedgerChange>;

/** Makes invites and admits who brings one. Nothing is told before it is durable. */
export class AdmissionDesk {
  readonly #node: AdmissionSurroundings;

  constructor(node: AdmissionSurroundings) {
    this.#node = node;
  }

  /** Opens an invite; `answer` gets what to show once it is durable. Throws a MeshError when this node cannot. */
  invite(
    options: { readonly uses: number; readonly ttl: Millis },
    answer: (invite: InviteView) => readonly NodeEffect[],
  ): readonly NodeEffect[] {
    const { crypto, random, key } = this.#node;
    if (!this.#mayAdmit(this.#own())) {
      throw new MeshError(
        "invite/not-admin",
        "This node is not an admin, so it cannot invite.",
        {},
        {
          hint: "Run `mesh invite` on an admin: `mesh peers` shows who is one.",
        },
      );
    }
    const wallNow = this.#node.wallNow();
    const expiresWallAt = Math.floor(wallNow + options.ttl);
    const opened = openInvite(this.#node.ledger(), { crypto, random, uses: options.uses, expiresWallAt, wallNow });
    if (opened === undefined) {
      throw new MeshError(
        "usage/invalid",
        "Too many invites are open.",
        { reason: "too many open invites" },
        { hint: "Wait until some expire." },
      );
    }
    const members = this.#node.reachableMembers().slice(0, MAX_INVITE_MEMBERS);
    const statement = this.#statementBytes();
    const text = formatInvite(crypto, {
      statement,
      issuer: nodeId(key.publicKey),
      seed: opened.seed,
      expiresWallAt,
      uses: options.uses,
      members,
    });
    const reachableAt = members.flatMap((member) => member.endpoints.map(formatEndpoint));
    this.#node.counters.count("invite.made");
    return this.#node.commit({ ledger: opened.ledger }, () =>
      answer({ invite: text, expiresAt: expiresWallAt, uses: options.uses, reachableAt }),
    );
  }

  /** Someone asks to join, here or at a member that carries the request to us. */
  request(id: JoinId, bytes: Uint8Array, carriedBy: NodeId | undefined): readonly NodeEffect[] {
    const request = openJoinRequest(this.#node.crypto, bytes);
    if (!request.ok) return this.#refuse(id, "malformed");
    if (request.value.network !== this.#node.trust.network) return this.#refuse(id, "wrong-network");
    const { issuer } = request.value;
    if (issuer === nodeId(this.#node.key.publicKey)) return this.#admit(id, request.value);
    if (carriedBy !== undefined) return this.#refuse(id, "not-admin"); // one hop only: a carried request is for us or for nobody
    const isAdmin = this.#node.book.membership.members.get(issuer)?.certificate.role === "admin";
    if (!isAdmin) return this.#refuse(id, "not-admin");
    return this.#node.isLinked(issuer) ? [{ type: "carry-join", id, issuer, request: bytes }] : this.#refuse(id, "issuer-unreachable");
  }

  /** The issuer's word about a request we carried goes back as it is. */
  carried(id: JoinId, response: Uint8Array | undefined): readonly NodeEffect[] {
    return response === undefined ? this.#refuse(id, "issuer-unreachable") : [{ type: "answer-join", id, response }];
  }

  #admit(id: JoinId, request: JoinRequest): readonly NodeEffect[] {
    const before = { ledger: this.#node.ledger(), certificate: this.#node.certificate() };
    const { admission, certificate } = this.#decide(request, before);
    if (admission.outcome === "grant-used-up") return this.#refuse(id, "full");
    if (admission.outcome === "refused") return this.#refuse(id, admission.reason);
    const answer = (): readonly NodeEffect[] => {
      const isGrantNew = certificate !== before.certificate;
      const announced = this.#node.announce(isGrantNew ? [certificate, admission.certificate] : [admission.certificate]);
      const response = encodeJoinResponse({ outcome: "admitted", certificate: admission.certificate, records: this.#startRecords() });
      return [...announced, { type: "answer-join", id, response }];
    };
    if (admission.ledger === before.ledger) return this.#node.whenDurable(answer);
    this.#node.counters.count("join.admitted");
    return this.#node.commit({ ledger: admission.ledger, certificate }, answer);
  }

  /** Admits; where the grant is used up and root is here, root grants the next block with it. */
  #decide(request: JoinRequest, { ledger, certificate }: Standing): { readonly admission: Admission; readonly certificate: Uint8Array } {
    const own = this.#own();
    if (!this.#mayAdmit(own)) return { admission: { outcome: "refused", reason: "not-admin" }, certificate };
    const { crypto, key, trust, book } = this.#node;
    const context = { crypto, key, network: trust.network, plan: trust.plan, membership: book.membership, wallNow: this.#node.wallNow() };
    const admission = admit(ledger, request, { ...context, certificate, grant: own.grant });
    const more = admission.outcome === "grant-used-up" ? this.#extendGrant(own, ledger) : undefined;
    if (more === undefined) return { admission, certificate };
    return {
      admission: admit(more.ledger, request, { ...context, certificate: more.certificate, grant: more.grant }),
      certificate: more.certificate,
    };
  }

  /** This node's certificate with one block of numbers more; undefined where root is elsewhere or the network has no more numbers. */
  #extendGrant(own: Certificate, ledger: Ledger): (Standing & { readonly grant: Certificate["grant"] }) | undefined {
    const { crypto, root, trust, book } = this.#node;
    const block = root === undefined ? undefined : nextGrantBlock(trust.plan, book.membership, own.grant);
    if (root === undefined || block === undefined) return undefined;
    const last = own.grant.at(-1);
    const isAdjacent = last !== undefined && last.first + last.count === block.first;
    const grant = isAdjacent ? [...own.grant.slice(0, -1), { first: last.first, count: last.count + block.count }] : [...own.grant, block];
    const serial = Math.max(own.serial + 1, nextSerial(ledger, this.#node.wallNow()));
    return { grant, ledger: { ...ledger, serial }, certificate: signCertificate(crypto, root, { ...own, serial, grant }) };
  }

  #refuse(id: JoinId, reason: JoinRefusal): readonly NodeEffect[] {
    this.#node.counters.count(`join.refused.${reason}`);
    return [
      { type: "log", level: "info", message: "refused a request to join", fields: { reason } },
      { type: "answer-join", id, response: encodeJoinResponse({ outcome: "refused", reason }) },
    ];
  }

  /** Whom an admin that was removed would admit, nobody would believe. */
  #mayAdmit(own: Certificate): boolean {
    return own.role === "admin" && !this.#node.book.membership.former.has(own.subject);
  }

  #own(): Certificate {
    const own = this.#node.trust.believedCertificate(this.#node.certificate())?.certificate;
    if (own === undefined) throw new TypeError("this node's own certificate does not hold");
    return own;
  }

  #statementBytes(): Uint8Array {
    for (const record of this.#node.book.set.values()) if (record.content.type === "network") return record.bytes;
    throw new TypeError("the network statement is not in the set");
  }

  /** Enough records to start with: in order of dependence, within the bound of an answer; sync brings the rest. */
  #startRecords(): readonly Uint8Array[] {
    const records: Uint8Array[] = [];
    let bytes = 0;
    for (const record of [...this.#node.book.set.values()].sort((a, b) => a.kind - b.kind)) {
      bytes += record.bytes.length;
      if (bytes > MAX_JOIN_RECORD_BYTES || records.length === MAX_JOIN_RECORDS) break;
      records.push(record.bytes);
    }
    return records;
  }
}
