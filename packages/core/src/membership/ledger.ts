import type { AddressPlan } from "../address/address-plan.ts";
import { isName } from "../bytes/name.ts";
import type { Crypto, Random, SigningKey } from "../crypto/crypto.ts";
import type { NetworkId } from "../ids/network-id.ts";
import { type NodeId, nodeId } from "../ids/node-id.ts";
import { isConsent, type NumberBlock, signCertificate } from "../records/certificate.ts";
import type { Millis } from "../time/millis.ts";
import type { JoinRefusal, JoinRequest } from "./join-message.ts";
import { freeName, type Membership } from "./membership.ts";

/**
 * What an admin must not forget: which numbers it gave to whom and which invites are open. Immutable; every change gives
 * a new ledger, which must be durable before anyone is told what it says.
 */
export interface Ledger {
  /** The last serial it signed. */
  readonly serial: number;
  readonly assignments: readonly Assignment[];
  readonly invites: readonly OpenInvite[];
}

export interface Assignment {
  readonly node: NodeId;
  readonly number: number;
  readonly generation: number;
  readonly certificate: Uint8Array;
}

export interface OpenInvite {
  /** Public key of the invite. */
  readonly invite: NodeId;
  readonly uses: number;
  readonly expiresWallAt: Millis;
  readonly usedBy: readonly NodeId[];
}

interface FreeNumber {
  readonly number: number;
  readonly generation: number;
}

/** What admitting rests on beside the ledger. */
export interface AdmissionContext {
  readonly crypto: Crypto;
  readonly network: NetworkId;
  readonly plan: AddressPlan;
  readonly membership: Membership;
  readonly wallNow: Millis;
  /** This admin: its key and own certificate record, and what that grants. */
  readonly key: SigningKey;
  readonly certificate: Uint8Array;
  readonly grant: readonly NumberBlock[];
}

export type Admission =
  | { readonly outcome: "admitted"; readonly ledger: Ledger; readonly certificate: Uint8Array }
  | { readonly outcome: "refused"; readonly reason: JoinRefusal }
  /** Every number of the grant is given; more can be granted by root. */
  | { readonly outcome: "grant-used-up" };

export const EMPTY_LEDGER: Ledger = { serial: 0, assignments: [], invites: [] };

/** Invites open at once. Bounds the ledger; a person needs a handful. */
export const MAX_OPEN_INVITES = 256;

/** An expired invite is remembered so long, so that its holder hears "expired" and not "unknown". */
const REMEMBER_EXPIRED_FOR: Millis = 30 * 86_400_000;

/** Numbers granted to an admin at a time: few, so that several admins share a small network; more is granted when it is used up. */
export const GRANT_BLOCK_SIZE = 16;

/** Opens an invite; undefined when {@link MAX_OPEN_INVITES} are open. */
export function openInvite(
  ledger: Ledger,
  options: {
    readonly crypto: Crypto;
    readonly random: Random;
    readonly uses: number;
    readonly expiresWallAt: Millis;
    readonly wallNow: Millis;
  },
): { readonly ledger: Ledger; readonly seed: Uint8Array } | undefined {
  const remembered = ledger.invites.filter((invite) => invite.expiresWallAt + REMEMBER_EXPIRED_FOR > options.wallNow);
  const open = remembered.filter((invite) => isOpen(invite, options.wallNow));
  if (open.length >= MAX_OPEN_INVITES) return undefined;
  const kept = remembered.length < MAX_OPEN_INVITES * 2 ? remembered : open;
  const seed = options.random.bytes(32);
  const invite = nodeId(options.crypto.signingKey(seed).publicKey);
  return {
    ledger: { ...ledger, invites: [...kept, { invite, uses: options.uses, expiresWallAt: options.expiresWallAt, usedBy: [] }] },
    seed,
  };
}

/**
 * Decides about a request whose signatures were checked. The same node asking again gets the same certificate, so a lost
 * answer costs nothing; spending a use, the number and the certificate are one change of the ledger. A name that another member has gets a
 * number behind it for good: it must not become another node's when that one leaves.
 */
export function admit(ledger: Ledger, request: JoinRequest, context: AdmissionContext): Admission {
  const { membership, wallNow } = context;
  if (request.network !== context.network) return refused("wrong-network");
  if (request.issuer !== nodeId(context.key.publicKey)) return refused("not-admin");
  if (!isName(request.name) || !isConsent(context.crypto, request.node, request.network, request.consent)) return refused("malformed");
  const invite = ledger.invites.find((open) => open.invite === request.invite);
  if (invite === undefined) return refused("unknown-invite");
  if (membership.former.has(request.node)) return refused("removed");
  const before = ledger.assignments.find((assignment) => assignment.node === request.node);
  if (before !== undefined && (invite.usedBy.includes(request.node) || isOpen(invite, wallNow)))
    return { outcome: "admitted", ledger, certificate: before.certificate };
  if (invite.expiresWallAt <= wallNow) return refused("expired");
  if (invite.usedBy.length >= invite.uses) return refused("spent");

  const free = freeNumber(ledger, context);
  if (free === undefined) return { outcome: "grant-used-up" };
  const serial = nextSerial(ledger, wallNow);
  const certificate = signCertificate(context.crypto, context.key, {
    network: context.network,
    subject: request.node,
    serial,
    role: "member",
    name: freeName(request.name, new Set([...membership.members.values()].map(({ name }) => name))),
    number: free.number,
    generation: free.generation,
    assignedWallAt: serial, // rises with every assignment of this admin, whatever its clock does
    grant: [],
    consent: request.consent,
    issuerCertificate: context.certificate,
  });
  const assignment = { node: request.node, number: free.number, generation: free.generation, certificate };
  const invites = ledger.invites.map((open) => (open === invite ? { ...open, usedBy: [...open.usedBy, request.node] } : open));
  return { outcome: "admitted", ledger: { serial, assignments: [...ledger.assignments, assignment], invites }, certificate };
}

/** Serials rise with every certificate of one issuer, over restarts and clocks that step back. */
export function nextSerial(ledger: Ledger, wallNow: Millis): number {
  return Math.max(ledger.serial + 1, Math.floor(wallNow));
}

/** The next block of numbers that nobody was granted, and that is not in this admin's `own` grant; undefined when the network has no more. */
export function nextGrantBlock(plan: AddressPlan, membership: Membership, own: readonly NumberBlock[]): NumberBlock | undefined {
  const admins = [...membership.members.values(), ...membership.former.values()].filter(({ certificate }) => certificate.role === "admin");
  const grants = [...admins.map(({ certificate }) => certificate.grant), own];
  const ends = grants.flat().map((block) => block.first + block.count);
  const first = Math.max(1, ...ends);
  const count = Math.min(GRANT_BLOCK_SIZE, plan.maxNumber - first + 1);
  return count > 0 ? { first, count } : undefined;
}

function isOpen(invite: OpenInvite, wallNow: Millis): boolean {
  return invite.expiresWallAt > wallNow && invite.usedBy.length < invite.uses;
}

function refused(reason: JoinRefusal): Admission {
  return { outcome: "refused", reason };
}

/**
 * The lowest number of the grant that nobody ever held, else the one that had the fewest holders: an address that is in somebody's notes
 * or known_hosts shall not be another node's the minute its own has left.
 */
function freeNumber(ledger: Ledger, { membership, grant, plan }: AdmissionContext): FreeNumber | undefined {
  const taken = new Set([...membership.members.values()].map((member) => member.certificate.number));
  for (const { node, number } of ledger.assignments) if (!membership.former.has(node)) taken.add(number);
  const generations = new Map<number, number>();
  for (const { number, generation } of [...[...membership.former.values()].map(({ certificate }) => certificate), ...ledger.assignments])
    generations.set(number, Math.max(generation + 1, generations.get(number) ?? 0));
  let best: FreeNumber | undefined;
  for (const { first, count } of grant.toSorted((a, b) => a.first - b.first)) {
    for (let number = first; number < first + count && number <= plan.maxNumber; number++) {
      const generation = generations.get(number) ?? 0;
      if (!taken.has(number) && (best === undefined || generation < best.generation)) best = { number, generation };
      if (best?.generation === 0) return best;
    }
  }
  return best;
}
