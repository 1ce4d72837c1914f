import type { Prefix } from "../address/prefix.ts";
import type { SocketId, Way } from "../address/way.ts";
import type { Millis } from "../time/millis.ts";

/**
 * The packet engine: one TUN device, one UDP socket or several, and the WireGuard transport between them.
 *
 * Threads: every method is called from JavaScript's thread and returns at once; packets move on threads of the
 * engine's own and never call JavaScript. Buffers passed in are copied (keys are then wiped in place); buffers handed
 * out belong to the receiver. After `close` every method but `close` throws.
 */
export interface Datapath {
  readonly info: DatapathInfo;

  /** CLOCK_BOOTTIME in milliseconds and parts of them, to the microsecond: the clock of every instant in this interface. */
  now(): Millis;

  /**
   * Whose handshakes come through: initiations and responses whose MAC1 was made with this X25519 public key (32 B). Until
   * then none do. When more come than JavaScript should have to read, the engine asks their senders for a cookie
   * (WireGuard whitepaper, section 5.3) and lets those through that show it; see HANDSHAKE_LOAD.
   */
  setHandshakeKey(publicKey: Uint8Array): void;

  /** Replaces peers and allowed IPs as one; no packet sees half of two tables. A peer that is gone loses its sessions. */
  publishTable(table: ForwardingTable): void;

  /**
   * How packets for the peer travel from now on: each by every one of these ways, MAX_WAYS at most; none: they wait (see
   * STAGED_PACKETS). RangeError for more, a socket that is not open, or numbers that are none.
   */
  setWays(slot: PeerSlot, ways: readonly Way[]): void;

  /** Whom this node relays for from now on, with budgets that go on for those that stay; see RelayTable. */
  setRelay(table: RelayTable): void;

  /**
   * Adds a session. An initiator's is current at once and the old current becomes previous; a responder's is `next`
   * until the first packet that it authenticates, which is reported as `session-confirmed`. Staged packets then leave.
   */
  installSession(session: DatapathSession): void;

  /** Forgets and wipes one session. Unknown indices are ignored: the engine may have dropped it already. */
  dropSession(localIndex: number): void;

  /** Sends an empty transport packet if the peer has a session and a way. */
  sendKeepalive(slot: PeerSlot): void;

  /**
   * Sends bytes as they are (handshakes, probes), behind the relay's header where the way has one. `ttl`, 1 to 255: so many
   * routers may forward it; the host's default unless told. Loss and send errors are counted, not reported.
   */
  sendDatagram(way: Way, bytes: Uint8Array, options?: { readonly ttl?: number }): void;

  /**
   * Opens further UDP sockets, each on a port of the kernel's choice; what comes in by them is treated as on the first. As many
   * as could be had, MAX_SOCKETS in all.
   */
  openSockets(count: number): readonly SocketId[];
  /** Unknown ones are ignored. The first socket stays. What would leave by a closed one is a send error. */
  closeSockets(sockets: readonly SocketId[]): void;

  /** The next packet that any session seals or opens is reported as `traffic-resumed`: until then no stamp changes. */
  awaitTraffic(): void;

  /** Read from shared memory without a call into the engine. Zeros for a slot without a peer. */
  readTraffic(slot: PeerSlot): PeerTraffic;
  readCounters(): DatapathCounters;

  /** Stops the threads, wipes the keys, closes TUN and socket. Idempotent; resolves when all is gone. */
  close(): Promise<void>;
}

export interface DatapathOptions {
  /** Name of the TUN device to make, 1 to 15 characters. */
  readonly tunName: string;
  readonly mtu: number; // bytes of an inner packet
  /** 0: any free port. */
  readonly udpPort: number;
  /** What only JavaScript can decide, in the order it happened, in batches. Must not throw. */
  onExceptions(batch: readonly DatapathException[]): void;
}

export interface DatapathInfo {
  readonly backend: "native" | "twin";
  readonly tunName: string;
  readonly mtu: number;
  readonly udpPort: number;
  /** IPv6 datagrams can be sent and received too. */
  readonly isDualStack: boolean;
}

/** A small number that names one peer to the engine: 0 to MAX_PEERS - 1. Reused only after its peer left the table. */
export type PeerSlot = number;

/** Peers one table can hold. Bounds the shared memory: 128 bytes each, touched only when used. */
export const MAX_PEERS = 16_384;

/** Ways by which each packet for one peer is sent at once: the one in use, and another while that is in doubt. */
export const MAX_WAYS = 2;

/** The first one, and one for each door that is knocked at in a birthday search (docs/paths.md). */
export const MAX_SOCKETS: number = 1 + 512;

/**
 * Whom this node relays for. A datagram that asks to be relayed is passed on when its header names two of these members, its
 * `pass` is the sender's, it came from where the sender's own packets go (the first of its ways, if that is straight), and the
 * receiver has such a way. What it carries is WireGuard's or a probe, and is not looked into.
 */
export interface RelayTable {
  readonly members: readonly RelayMember[];
  /** Of one sender, header included; 0: nothing is relayed. RELAY_BURST as many may come at once. */
  readonly bytesPerSecond: number;
}

export interface RelayMember {
  readonly slot: PeerSlot;
  /** Of the node, not 0; no two alike. */
  readonly number: number; // u16
  /** That it shows when it asks. */
  readonly pass: number; // u32
}

/** A sender that was quiet may send as much at once as it may in this time. */
export const RELAY_BURST: Millis = 250;

/** Packets that wait per peer for a session or a way; the oldest go first when there are more. As wireguard-go. */
export const STAGED_PACKETS = 128;

/** Immutable once published. Longest prefix wins, outbound for the destination and inbound for the source. */
export interface ForwardingTable {
  readonly peers: readonly PeerSlot[];
  /** Of the peers, those whose way follows the source of every transport packet they authenticate (WireGuard's roaming): they do not probe. */
  readonly roaming: readonly PeerSlot[];
  readonly routes: readonly ForwardingRoute[];
}

export interface ForwardingRoute {
  readonly prefix: Prefix;
  readonly slot: PeerSlot;
}

export interface DatapathSession {
  readonly slot: PeerSlot;
  readonly localIndex: number; // u32, ours: the receiver index in packets to us
  readonly remoteIndex: number; // u32, theirs
  readonly sendKey: Uint8Array; // 32 B
  readonly receiveKey: Uint8Array; // 32 B
  readonly role: "initiator" | "responder";
  /** From then on it neither seals nor opens (WireGuard's REJECT_AFTER_TIME). */
  readonly expiresAt: Millis;
}

/**
 * Initiations and responses with a valid MAC1 that the engine hands over: so many at once, so many a second. Each costs
 * JavaScript half a millisecond; a mesh of 1,000 nodes that all rekey needs 8 a second. Beyond it the engine is under load
 * until UNDER_LOAD_FOR after the last one too many: only messages with a valid MAC2 come through, HANDSHAKES_PER_SOURCE each.
 */
export const HANDSHAKE_LOAD: { readonly burst: number; readonly perSecond: number } = { burst: 200, perSecond: 100 };
export const UNDER_LOAD_FOR: Millis = 1_000;
/** Of one source under load: a contact, or an IPv4 address or an IPv6 /64. As wireguard-go. */
export const HANDSHAKES_PER_SOURCE: { readonly burst: number; readonly perSecond: number } = { burst: 5, perSecond: 20 };
/** Our own kinds and cookie replies of one source, always: a probing round over many candidates passes, a flood does not. */
export const DATAGRAMS_PER_SOURCE: { readonly burst: number; readonly perSecond: number } = { burst: 200, perSecond: 100 };
/** Sources whose buckets are kept; beyond it a new source takes the place of the one that was quiet longest. */
export const MAX_SOURCES = 4_096;
/** The engine's cookie secret is replaced this often; a cookie is good for as long (whitepaper, section 5.4.7). */
export const COOKIE_SECRET_FOR: Millis = 120_000;

/**
 * An address and a port that is or was some peer's endpoint counts as a contact for this long after it was last known to be, or
 * was sent something by JavaScript: contacts have budgets of their own, which no stranger can use up. It is REJECT_AFTER_TIME:
 * whoever has a session that is alive was sent a handshake message within it, or a PING.
 */
export const CONTACT_FOR: Millis = 180_000;
/**
 * Strangers, all others, besides share budgets, because sources can be forged: for datagrams of our own kinds (some 30 us of
 * JavaScript each: 1 % of a core), as many for cookie replies, and for either as many again for those who come again within
 * KNOCK_AGAIN_FOR after they were turned away, as a peer does (three attempts of a handshake are 15 s); …
 */
export const STRANGERS: { readonly burst: number; readonly perSecond: number } = { burst: 1_000, perSecond: 250 };
export const STRANGERS_AGAIN: { readonly burst: number; readonly perSecond: number } = { burst: 500, perSecond: 500 };
export const KNOCK_AGAIN_FOR: Millis = 15_000;
/** … and for handshakes with a valid cookie, of which a host with an IPv6 /48 can show those of 65,536 sources: 10 % of a core. */
export const STRANGERS_HANDSHAKES: { readonly burst: number; readonly perSecond: number } = { burst: 200, perSecond: 200 };

export type DatapathException =
  /** A datagram that is not transport data: a handshake message that passed setHandshakeKey's guard, or one of our own kinds. */
  | { readonly type: "datagram"; readonly from: Way; readonly receivedAt: Millis; readonly bytes: Uint8Array }
  /** A packet waits for this peer and no session can seal it. Repeated at most once a second while that lasts. */
  | { readonly type: "session-wanted"; readonly slot: PeerSlot }
  /** The first packet authenticated by a responder's session arrived: the peer has the keys. */
  | { readonly type: "session-confirmed"; readonly slot: PeerSlot; readonly localIndex: number }
  /** What {@link Datapath.awaitTraffic} waited for. It need not be the first packet, when many exceptions wait. */
  | { readonly type: "traffic-resumed" }
  /** The engine stopped by itself; nothing moves any more. */
  | { readonly type: "engine-failed"; readonly reason: string };

/** Those that a node decides about; the other is between the engine and whoever reads its stamps. */
export type NodeException = Exclude<DatapathException, { readonly type: "traffic-resumed" }>;

/** Since the peer's slot appeared in a table. Instants, whole milliseconds of the native engine, are 0 when it never happened. */
export interface PeerTraffic {
  readonly sentBytes: number; // inner bytes, as are all
  readonly receivedBytes: number;
  readonly sentPackets: number;
  readonly receivedPackets: number;
  /** Data packets: not keepalives. */
  readonly dataSentAt: Millis;
  readonly dataReceivedAt: Millis;
  /** Anything sealed or opened by a session, keepalives included. */
  readonly authenticatedSentAt: Millis;
  readonly authenticatedReceivedAt: Millis;
  /** Nonce counter of the current session. */
  readonly sendCounter: number;
}

/** Packets and datagrams dropped, by cause, errors of the devices, and what was relayed. Names are stable: they are API. */
export const DATAPATH_COUNTERS = [
  "udpMalformed", // no kind we know, or of a wrong size
  "udpUnknownSession", // transport data with an index we do not have
  "udpNotAuthentic",
  "udpReplayed",
  "udpExpiredSession",
  "udpSourceNotAllowed", // the inner source address is not the sender's
  "udpInnerMalformed",
  "udpSendErrors",
  "tunMalformed",
  "tunNoRoute",
  "tunStagedOverflow",
  "tunWriteErrors",
  "exceptionsLost", // the ring to JavaScript was full
  "handshakeNotForUs", // no valid MAC1
  "handshakeCookieSent", // under load and without a valid MAC2: answered with a cookie
  "sourceOverBudget", // more than HANDSHAKES_PER_SOURCE or DATAGRAMS_PER_SOURCE, or than strangers' shares
  "relayedPackets", // passed on for members of the RelayTable; those that could not be sent are send errors, too
  "relayedBytes", // of these, without the relay's header
  "relayNotAllowed", // asked for by no member, by a wrong pass, from elsewhere, to itself, or with a relay's datagram inside
  "relayNoWay", // the receiver has no way, or none that is straight
  "relayOverLimit", // beyond RelayTable.bytesPerSecond
] as const;

export type DatapathCounter = (typeof DATAPATH_COUNTERS)[number];
export type DatapathCounters = Readonly<Record<DatapathCounter, number>>;
