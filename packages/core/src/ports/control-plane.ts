import type { Endpoint } from "../address/endpoint.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { Millis } from "../time/millis.ts";

/**
 * Links to other members, gossip and sync of records, and the way a stranger asks to join.
 *
 * Every method returns at once; what comes of it arrives as a ControlEvent, in order. Byte arrays are not changed by
 * either side after they were handed over. After `close` nothing is reported any more.
 */
export interface ControlPlane {
  /** TCP port it listens on. */
  readonly port: number;

  /** Keeps a link to the member: dials now and whenever it is lost, at these endpoints. Again with others: replaces them. */
  connect(node: NodeId, endpoints: readonly Endpoint[]): void;
  /** Closes links with the node and stops dialling it. */
  disconnect(node: NodeId): void;
  /** The host's addresses or routes changed: links that do not answer soon are dialled beside, later closed, and what is not linked is dialled at once. */
  networkChanged(): void;

  /** Spreads record bytes to everyone by gossip. */
  publish(record: Uint8Array): void;

  /**
   * Resolves when everything published so far has reached every linked member, or the time is over: with the number of members
   * that have it. Never rejects.
   */
  settle(within: Millis): Promise<number>;

  /** Answers a `join-request`, with MAX_JOIN_RESPONSE_BYTES at most; the connection closes after it. Unknown ids (the joiner went away) are ignored. */
  answerJoin(id: JoinId, response: Uint8Array): void;
  /** Carries a stranger's join request to its issuer over the link to it; `join-carried` tells what came of it. At most MAX_JOIN_REQUEST_BYTES. */
  carryJoin(id: JoinId, issuer: NodeId, request: Uint8Array): void;

  close(): Promise<void>;
}

/** Names one join exchange on this node. */
export type JoinId = number;

export type ControlEvent =
  /** The first usable link to a member is up. `remote` is its address as seen here; its port serves only that link. */
  | { readonly type: "link-up"; readonly node: NodeId; readonly remote: Endpoint }
  /** The last link to the member is gone. */
  | { readonly type: "link-down"; readonly node: NodeId }
  /** Records from a member, by gossip or sync, not yet merged. */
  | { readonly type: "records"; readonly from: NodeId; readonly via: "gossip" | "sync"; readonly records: readonly Uint8Array[] }
  /** Someone asks to join, directly or carried by another member. */
  | { readonly type: "join-request"; readonly id: JoinId; readonly request: Uint8Array; readonly carriedBy?: NodeId }
  /** The issuer's answer to a carried request; undefined: the issuer could not be reached or did not answer in time. */
  | { readonly type: "join-carried"; readonly id: JoinId; readonly response: Uint8Array | undefined }
  /** So often since the last report; one of each cause in 100 ms at most, whatever comes in. */
  | { readonly type: "refused"; readonly cause: ControlRefusal; readonly count: number };

/** What was not let in, or broke off before it was anything. */
export type ControlRefusal =
  /** Too many connections: in all, from one address in a second, or not yet encrypted. */
  | "connection-limit"
  /** Connected, and began neither a member's handshake nor a join exchange within 6 s, or no byte within 1.5 s. */
  | "handshake-timeout"
  /** Another protocol, garbage, or hung up half-way, as the losers of a member's race of endpoints do. */
  | "handshake-failed"
  /** Core refused the credentials that the other side showed, whoever dialled; or the node was removed. */
  | "not-a-member"
  /** Too many attempts to join: from one address, or at the same time. */
  | "join-limit"
  /** Began a join exchange and brought no request, or got no answer in time, or did not take it. */
  | "join-failed"
  /** A member that does not follow the sync protocol, or hands over a record that core rejects. */
  | "sync-fault"
  /** A member that asks for more than its share: streams, syncs, bytes of gossip. */
  | "member-limit"
  /** A gossiped record that core rejects. */
  | "gossip-rejected";

/** What the control plane must know at once. Pure: asking changes nothing. */
export interface ControlQueries {
  /** This node's proof of membership, shown to every member inside the connection handshake: its certificate record. */
  credentials(): Uint8Array;
  /** Is the holder of this key, showing this certificate record, a member? undefined: yes; else why not, for the log. */
  refuseMember(node: NodeId, credentials: Uint8Array): string | undefined;
  /** Removed nodes are neither dialled nor accepted. */
  isRemoved(node: NodeId): boolean;

  /** Verdict about a record by gossip or sync: take it (by gossip: forward it), drop it silently (known or older), or blame its sender. */
  judgeRecord(record: Uint8Array): "accept" | "ignore" | "reject";

  /** The record set as sync compares it; see records/record-set.ts. */
  readonly digest: RecordDigest;
}

/** Anti-entropy view of a record set: 256 buckets by the first byte of the record id. */
export interface RecordDigest {
  /** 32 bytes: equal exactly when the sets are equal. */
  root(): Uint8Array;
  /** 256 × 16 bytes. */
  buckets(): Uint8Array;
  /** For each record of these buckets: id (32 B), sequence (u64), hash of its bytes (16 B). In order of id. */
  summary(buckets: readonly number[]): Uint8Array;
  /** Record bytes that the other side lacks or has older, judging by its summary of these buckets. In dependency order. */
  missingFrom(buckets: readonly number[], theirSummary: Uint8Array): readonly Uint8Array[];
}

export { equalBytes } from "../bytes/bytes.ts";
export { MAX_RECORD_BYTES } from "../records/envelope.ts";
export { MAX_JOIN_REQUEST_BYTES, MAX_JOIN_RESPONSE_BYTES } from "../records/join-bounds.ts";
export { SUMMARY_ENTRY_BYTES } from "../records/record-set.ts";
export { beginsComparing, neighbourLongestAgo } from "../records/sync-turn.ts";
