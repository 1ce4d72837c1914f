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

/** Why a record is not believed, though its signature holds. */
export type TrustFault = "foreign-network" | "not-entitled" | "no-consent";

/** From the member up: its own key, the admin that admitted it (absent where root did), root. */
export interface Chain {
  readonly subject: NodeId;
  readonly admin: NodeId | undefined;
  readonly root: NodeId;
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
    const { root } = this.statement;
    if (certificate.network !== this.network) return { ok: false, fault: "foreign-network" };
    if (certificate.number > this.plan.maxNumber) return { ok: false, fault: "not-entitled" };
    const issuer = this.#issuerOf(certificate);
    if (issuer === undefined) return { ok: false, fault: "not-entitled" };
    if (!isConsent(this.#crypto, certificate.subject, certificate.network, certificate.consent)) return { ok: false, fault: "no-consent" };
    return { ok: true, chain: { subject: certificate.subject, admin: issuer === root ? undefined : issuer, root } };
  }

  /** The issuer, when it may hand out this certificate. */
  #issuerOf(certificate: Certificate): NodeId | undefined {
    if (certificate.issuer === this.statement.root) return certificate.issuerCertificate.length === 0 ? certificate.issuer : undefined;
    if (certificate.role === "admin") return undefined; // only root makes admins
    const issuer = this.believedCertificate(certificate.issuerCertificate)?.certificate;
    const mayIssue = issuer?.subject === certificate.issuer && issuer.role === "admin" && isGranted(issuer.grant, certificate.number);
    return mayIssue ? certificate.issuer : undefined;
  }
}
