import type { Endpoint } from "../address/endpoint.ts";
import { ipBytes16, ipFromBytes } from "../address/ip.ts";
import { formatBase64url, parseBase64url } from "../bytes/base64url.ts";
import { ByteReader } from "../bytes/byte-reader.ts";
import { ByteWriter } from "../bytes/byte-writer.ts";
import { concatBytes, equalBytes } from "../bytes/bytes.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { type NetworkId, networkId } from "../ids/network-id.ts";
import { type NodeId, nodeId, nodeKey } from "../ids/node-id.ts";
import { MAX_RECORD_BYTES } from "../records/envelope.ts";
import type { NetworkStatement } from "../records/network-statement.ts";
import { RecordOpener } from "../records/record.ts";
import type { Millis } from "../time/millis.ts";

/** A secret line that lets its holder become a member. */
export interface Invite {
  /** The network statement's record bytes. */
  readonly statement: Uint8Array;
  /** The admin that made the invite and alone can honour it. */
  readonly issuer: NodeId;
  /** Seed of the invite's Ed25519 key; its public key names the invite. */
  readonly seed: Uint8Array; // 32 B
  /** By the issuer's clock. */
  readonly expiresWallAt: Millis;
  readonly uses: number;
  /** Up to three members that carry the request to the issuer; the issuer itself may be one. */
  readonly members: readonly InviteMember[];
}

export interface InviteMember {
  readonly node: NodeId;
  /** TCP: of the control plane, then those where it takes TLS WebSocket, if any. */
  readonly endpoints: readonly Endpoint[];
}

/** An invite as read, with what its statement says. */
export interface OpenedInvite {
  readonly invite: Invite;
  readonly network: NetworkId;
  readonly statement: NetworkStatement;
}

/** Why a text is no invite. `altered`: the checksum or the root's signature does not fit. */
export type InviteFault = "not-an-invite" | "altered" | "newer-version";

export const INVITE_SCHEME = "mesh1";
const VERSION = 1;
const CHECKSUM_BYTES = 4;
export const MAX_INVITE_MEMBERS = 3;
export const MAX_MEMBER_ENDPOINTS = 8;

//  ver u8 | statement u16+n | issuer 32 | seed 32 | expires u64 | uses u16 | members u8 × (key 32, endpoints u8 × (ip 16, port u16)) | checksum 4
export function formatInvite(crypto: Crypto, invite: Invite): string {
  const writer = new ByteWriter().u8(VERSION).u16(invite.statement.length).bytes(invite.statement);
  writer.bytes(nodeKey(invite.issuer)).bytes(invite.seed).u64(BigInt(invite.expiresWallAt)).u16(invite.uses);
  const members = invite.members.slice(0, MAX_INVITE_MEMBERS);
  writer.u8(members.length);
  for (const member of members) {
    const endpoints = member.endpoints.slice(0, MAX_MEMBER_ENDPOINTS);
    writer.bytes(nodeKey(member.node)).u8(endpoints.length);
    for (const { ip, port } of endpoints) writer.bytes(ipBytes16(ip)).u16(port);
  }
  const payload = writer.finish();
  return INVITE_SCHEME + formatBase64url(concatBytes(payload, crypto.sha256(payload).subarray(0, CHECKSUM_BYTES)));
}

/** Reads what a person pasted: blanks and line breaks inside it are forgiven. */
export function parseInvite(crypto: Crypto, text: string): OpenedInvite | InviteFault {
  const compact = text.replace(/\s+/g, "");
  if (!compact.startsWith(INVITE_SCHEME)) return "not-an-invite";
  const bytes = parseBase64url(compact.slice(INVITE_SCHEME.length));
  if (bytes === undefined || bytes.length <= CHECKSUM_BYTES) return "altered";
  const payload = bytes.subarray(0, bytes.length - CHECKSUM_BYTES);
  if (!equalBytes(crypto.sha256(payload).subarray(0, CHECKSUM_BYTES), bytes.subarray(payload.length))) return "altered";
  if (payload[0] !== VERSION) return "newer-version";
  const invite = decodePayload(payload);
  if (invite === undefined) return "altered";
  const opened = new RecordOpener(crypto).open(invite.statement);
  if (!opened.ok || opened.value.content.type !== "network") return "altered";
  return { invite, network: networkId(opened.value.hash), statement: opened.value.content.network };
}

function decodePayload(payload: Uint8Array): Invite | undefined {
  const reader = new ByteReader(payload);
  reader.u8();
  const statementLength = reader.u16();
  if (statementLength > MAX_RECORD_BYTES) return undefined;
  const statement = reader.bytes(statementLength);
  const issuer = nodeId(reader.bytes(32));
  const seed = reader.bytes(32);
  const expiresWallAt = reader.u64();
  const uses = reader.u16();
  const memberCount = reader.u8();
  if (memberCount > MAX_INVITE_MEMBERS || expiresWallAt > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  const members: InviteMember[] = [];
  for (let i = 0; i < memberCount; i++) {
    const node = nodeId(reader.bytes(32));
    const endpointCount = reader.u8();
    if (endpointCount > MAX_MEMBER_ENDPOINTS) return undefined;
    const endpoints = Array.from({ length: endpointCount }, () => ({ ip: ipFromBytes(reader.bytes(16)), port: reader.u16() }));
    if (endpoints.some(({ port }) => port === 0)) return undefined;
    members.push({ node, endpoints });
  }
  const decoded = reader.finish({ statement, issuer, seed, expiresWallAt: Number(expiresWallAt), uses, members });
  return decoded.ok ? decoded.value : undefined;
}
