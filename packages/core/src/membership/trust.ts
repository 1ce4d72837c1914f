import { type AddressPlan, addressPlan } from "../address/address-plan.ts";
import { BoundedMap } from "../bytes/bounded-map.ts";
import { formatHex } from "../bytes/hex.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { type NetworkId, networkIdBytes } from "../ids/network-id.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Certificate, isConsent, isGranted } from "../records/certificate.ts";
import type { NetworkStatement } from "../records/network-statement.ts";
import type { RecordOpener, SignedRecord } from "../records/record.ts";
import type { Removal } from "../records/removal.ts";
import type { Millis } from "../time/millis.ts";

/** Why a record is not believed, though its signature holds. */
export type TrustFault = "foreign-network" | "not-entitled" | "no-consent";

/** From the member up: its own key, the admin that admitted it (absent where root did), root. */
export interface Chain {
  readonly subject: NodeId;
  readonly admin: ChainAdmin | undefined;
  readonly root: NodeId;
}

/** The link between member and root, as root signed it. */
export interface ChainAdmin {
  readonly id: NodeId;
  readonly number: number;
  readonly assignedWallAt: Millis;
}

export type ChainVerdict = { readonly ok: true; readonly chain: Chain } | { readonly ok: false; readonly fault: TrustFault };

/** Verdicts remembered: chains of this many certificates are checked once. */
const REMEMBERED = 16_384;

/**
 * Which chains hold, by signatures alone: from root over an admin within its grant to a member that consented. Removals
 * and time play no part here, so a verdict about a certificate never changes.
 */
export class Trust {
  readonly network: NetworkId;
  readonly statement: NetworkStatement;
  readonly plan: AddressPlan;
  readonly #crypto: Crypto;
  readonly #opener: RecordOpener;
  readonly #verdicts = new BoundedMap<string, ChainVerdict>(REMEMBERED);

  constructor(options: {
    readonly crypto: Crypto;
    readonly opener: RecordOpener;
    readonly network: NetworkId;
    readonly statement: NetworkStatement;
  }) {
    this.#crypto = options.crypto;
    this.#opener = options.opener;
    this.network = options.network;
    this.statement = options.statement;
    this.plan = addressPlan(options.statement.prefix4, options.statement.nodeLength, networkIdBytes(options.network));
  }

  chainOf(record: SignedRecord): ChainVerdict {
    const key = formatHex(record.hash);
    const known = this.#verdicts.get(key);
    if (known !== undefined) return known;
    const verdict = this.#judge(record);
    this.#verdicts.set(key, verdict);
    return verdict;
  }

  /** The certificate inside record bytes when its chain holds. */
  believedCertificate(bytes: Uint8Array): { readonly certificate: Certificate; readonly chain: Chain } | undefined {
    const opened = this.#opener.open(bytes);
    if (!opened.ok || opened.value.content.type !== "certificate") return undefined;
    const verdict = this.chainOf(opened.value);
    return verdict.ok ? { certificate: opened.value.content.certificate, chain: verdict.chain } : undefined;
  }

  /** Is this a newer certificate than the one held, by its issuer or by root? */
  isRenewal(certificate: Certificate, held: Uint8Array): boolean {
    const before = this.believedCertificate(held)?.certificate;
    if (before === undefined) return true;
    return certificate.issuer === before.issuer ? certificate.serial > before.serial : certificate.issuer === this.statement.root;
  }

  /** May this signer say this? Root about anyone, an admin about anyone (it binds only those below it), a member about itself. */
  faultOfRemoval(removal: Removal): TrustFault | undefined {
    if (removal.network !== this.network) return "foreign-network";
    if (removal.signer === this.statement.root) return removal.signerCertificate.length === 0 ? undefined : "not-entitled";
    const shown = this.believedCertificate(removal.signerCertificate)?.certificate;
    if (shown?.subject !== removal.signer) return "not-entitled";
    return shown.role === "admin" || removal.target === removal.signer ? undefined : "not-entitled";
  }

  #judge(record: SignedRecord): ChainVerdict {
    if (record.content.type !== "certificate") return { ok: false, fault: "not-entitled" };
    const { certificate } = record.content;
    if (certificate.network !== this.network) return { ok: false, fault: "foreign-network" };
    if (certificate.number > this.plan.maxNumber) return { ok: false, fault: "not-entitled" };
    const isByRoot = certificate.issuer === this.statement.root && certificate.issuerCertificate.length === 0;
    const admin = isByRoot ? undefined : this.#adminOf(certificate);
    if (!isByRoot && admin === undefined) return { ok: false, fault: "not-entitled" };
    if (!isConsent(this.#crypto, certificate.subject, certificate.network, certificate.consent)) return { ok: false, fault: "no-consent" };
    return { ok: true, chain: { subject: certificate.subject, admin, root: this.statement.root } };
  }

  /** The admin that issued a member's certificate, when it might: root's own word stands behind it, so a chain never has a fourth link. */
  #adminOf(certificate: Certificate): ChainAdmin | undefined {
    if (certificate.role === "admin") return undefined; // only root makes admins
    const opened = this.#opener.open(certificate.issuerCertificate);
    if (!opened.ok || opened.value.content.type !== "certificate") return undefined;
    const issuer = opened.value.content.certificate;
    const isAdminByRoot = issuer.role === "admin" && issuer.issuer === this.statement.root && issuer.issuerCertificate.length === 0;
    if (issuer.subject !== certificate.issuer || !isAdminByRoot || !isGranted(issuer.grant, certificate.number)) return undefined;
    if (!this.chainOf(opened.value).ok) return undefined;
    return { id: issuer.subject, number: issuer.number, assignedWallAt: issuer.assignedWallAt };
  }
}
