/**
 * The control plane of one node, on libp2p. What comes in, and where it goes:
 *
 *   1. A connection: gater (removed?) → member-encrypter (member?) → links → identify → gossip-keeper → `link-up`
 *   2. A record: gossip or record-sync → core's verdict → `records`; a sync with a rejected one is cut, link and all
 *   3. A stranger: join-encrypter, or carry-join from a member → join-desk → `join-request`
 *   4. A loss: the connection closes → links → `link-down`, and dials again
 *   5. What is not let in: limits, deadline, encrypters, verdicts → refusals → `refused`
 *
 * Decisions are core's (ControlQueries); what is kept here is about sockets and streams.
 */
import { randomBytes } from "node:crypto";
import type { Connection } from "@libp2p/interface";
import {
  beginsComparing,
  type Clock,
  type ControlEvent,
  type ControlPlane,
  type ControlQueries,
  type Endpoint,
  type Millis,
  type NodeId,
  shortId,
} from "@mesh/core/ports";
import type { Logger } from "pino";
import { CARRY_JOIN_PROTOCOL, carryJoin, MAX_CARRIED_STREAMS, serveCarriedJoin } from "./carry-join.ts";
import { withDeadline } from "./deadline.ts";
import { EventQueue } from "./event-queue.ts";
import { joinTopic, sendHello } from "./gossip.ts";
import { NONCE_BYTES } from "./gossip-hello.ts";
import { type GossipCounts, GossipKeeper } from "./gossip-keeper.ts";
import { gossipFlows, reopenGossip, resetGossip } from "./gossip-streams.ts";
import { HandshakeDeadline } from "./handshake-deadline.ts";
import { JoinDesk } from "./join-desk.ts";
import { joinEncrypter } from "./join-encrypter.ts";
import { type Libp2pNode, startLibp2p } from "./libp2p-node.ts";
import { Links, type MemberConnection } from "./links.ts";
import { memberEncrypter } from "./member-encrypter.ts";
import { endpointOf } from "./multiaddr.ts";
import { Pace } from "./pace.ts";
import { nodeOf, peerIdOf } from "./peer-id.ts";
import { pingLink } from "./ping-link.ts";
import { Places } from "./places.ts";
import { RejectedRecord, SyncFault, type SyncOutcome } from "./record-sync.ts";
import { Refusals } from "./refusals.ts";
import { SyncBar } from "./sync-bar.ts";
import { SyncRounds } from "./sync-rounds.ts";
import { MAX_SYNC_STREAMS, type StreamSync, SYNC_PROTOCOL, syncOverStream } from "./sync-stream.ts";
import { watchWake } from "./wake-watch.ts";

export interface ControlPlaneOptions {
  /** 32-byte Ed25519 seed of this node. */
  readonly seed: Uint8Array;
  /** TCP port for all addresses of the host; 0: any, to be kept by the caller. */
  readonly port: number;
  /** Listens here instead; its port may be 0. */
  readonly listen?: Endpoint | undefined;
  /** Gossip topic, one for each network. */
  readonly topic: string;
  readonly queries: ControlQueries;
  onEvent(event: ControlEvent): void;
  readonly clock: Clock;
  readonly log: Logger;
  /** For a joiner that comes while there are too many: opaque here, made by core. undefined: such a joiner is cut. */
  readonly busyResponse: Uint8Array | undefined;
}

/** The control plane as the agent has it. */
export interface OpenControlPlane extends ControlPlane {
  /** Whether gossip delivers, as asked and answered since the start. */
  gossipCounts(): GossipCounts;
}

/** Syncs that a member may begin with us in a row; one that hands over a large set begins again and again … */
const SYNC_BURST = 32;
/** … and then one more each of these: 4 MiB each way in 2 s. An idle neighbour begins one a minute. */
const SYNC_INTERVAL: Millis = 2_000;
/** Syncs that others began and that are served at a time, each with a frame of 1 MiB at most; others wait in line. */
const MAX_SERVED_SYNCS = 32;
/** Between resetting the streams of gossip and opening new ones: the router notices a reset a moment later. */
const REOPEN_AFTER: Millis = 100;
/** With a node that has left, for the comparison of records by which it learns that it was heard. */
const LAST_WORDS: Millis = 1_000;
/** For everything to be closed properly; then it is closed the other way. */
const CLOSE_TIMEOUT: Millis = 1_500;

/** Throws MeshError "control/port-taken", or "config/invalid" when the address to listen on is not the host's. */
export async function openControlPlane(options: ControlPlaneOptions): Promise<OpenControlPlane> {
  const { clock, log, queries, topic } = options;
  const events = new EventQueue(options.onEvent);
  const refusals = new Refusals(clock, (refused) => events.push(refused));
  const deadline = new HandshakeDeadline(clock, (connection, cause) => refusals.blame(connection, cause));
  const desk = new JoinDesk({
    clock,
    onRequest: (request) => events.push({ type: "join-request", ...request }),
    onFull: () => {
      refusals.count("join-limit");
      return options.busyResponse;
    },
  });
  const reportRecords = (via: "gossip" | "sync") => (from: NodeId, records: readonly Uint8Array[]) => {
    log.debug({ node: from, via, count: records.length }, "records received");
    events.push({ type: "records", from, via, records });
  };

  const mesh = await startLibp2p({
    seed: options.seed,
    topic,
    clock,
    log,
    deadline,
    refusals,
    isRemoved: (node) => queries.isRemoved(node),
    encrypters: [
      memberEncrypter({
        clock,
        queries,
        onRefused: (connection, direction) =>
          direction === "inbound" ? refusals.blame(connection, "not-a-member") : refusals.count("not-a-member"),
        onCredentials: (node, credentials) => events.push({ type: "records", from: node, via: "sync", records: [credentials] }),
      }),
      joinEncrypter({ clock, desk, refusals, busyResponse: options.busyResponse, onStarted: (connection) => deadline.met(connection) }),
    ],
  });
  const { libp2p } = mesh;
  const self = selfOf(mesh);

  const connections = new WeakMap<Connection, MemberConnection>();
  const memberConnection = (connection: Connection): MemberConnection => {
    const known = connections.get(connection) ?? describeConnection(connection, clock.now());
    connections.set(connection, known);
    return known;
  };

  const linked = new Set<NodeId>();
  const links: Links = new Links({
    self,
    clock,
    dial: async (node, endpoint, signal) => memberConnection(await mesh.dial(node, endpoint, signal)),
    mayDial: (node) => !queries.isRemoved(node),
    onUp: ({ node }) => keeper.opened(node),
    onReduced: (node) => keeper.reduced(node),
    onDown: (node) => {
      keeper.closed(node);
      rounds.unlinked(node);
      if (linked.delete(node)) events.push({ type: "link-down", node });
    },
    onDialFailed: (node, error) => log.debug({ node, reason: String(error) }, "dial failed"),
  });

  const keeper: GossipKeeper = new GossipKeeper({
    self,
    clock,
    nonce: () => randomBytes(NONCE_BYTES),
    flows: (node) => gossipFlows(mesh, topic, node),
    tell: (node, hello) => sendHello(libp2p.services.gossip, topic, { to: peerIdOf(node), hello }),
    heal: (node) => {
      log.info({ node }, "gossip does not deliver, its streams are opened anew");
      resetGossip(mesh, node);
      clock.at(clock.now() + REOPEN_AFTER, () => {
        reopenGossip(mesh, node).catch((error: unknown) => log.debug({ node, reason: String(error) }, "gossip not opened"));
      });
    },
    cut: (node) => {
      log.warn({ node }, "gossip does not deliver, the connection is given up");
      links.hangUp(node, "gossip does not deliver");
    },
    onReady: (node) => {
      const connection = links.connectionTo(node);
      if (connection === undefined) return;
      linked.add(node);
      events.push({ type: "link-up", node, remote: connection.remote });
      rounds.linked(node);
      if (beginsComparing(self, node)) rounds.syncWith(node);
    },
    onProven: (node) => log.debug({ node }, "gossip delivers"),
    onHealed: (node) => {
      log.info({ node }, "gossip delivers again");
      rounds.syncWith(node);
    },
  });

  const bar = new SyncBar();
  const syncFailed = (node: NodeId, error: unknown): void => {
    if (error instanceof SyncFault || error instanceof RejectedRecord) refusals.count("sync-fault");
    if (error instanceof RejectedRecord) {
      bar.rejected(node, clock.now());
      links.hangUp(node, "sent a record that is rejected");
    }
    log.debug({ node, reason: String(error) }, "sync failed");
  };
  const sync = (node: NodeId, part: Pick<StreamSync, "isInitiator" | "open" | "signal">): Promise<SyncOutcome> =>
    syncOverStream({
      ...part,
      clock,
      digest: queries.digest,
      judge: (record) => queries.judgeRecord(record),
      onRecords: (records) => reportRecords("sync")(node, records),
    });
  const rounds = new SyncRounds({
    clock,
    run: (node, signal) =>
      sync(node, {
        isInitiator: true,
        signal,
        open: (deadline) => connectionTo(mesh, node).newStream(SYNC_PROTOCOL, { signal: deadline, maxOutboundStreams: MAX_SYNC_STREAMS }),
      }),
    maySync: (node) => !bar.isBarred(node, clock.now()),
    onFailed: syncFailed,
    onTurn: (node) => keeper.doubt(node),
  });
  const served = new Places(MAX_SERVED_SYNCS);
  const syncPace = new Pace<NodeId>({ burst: SYNC_BURST, interval: SYNC_INTERVAL });
  const networkChanged = (): void => {
    links.networkChanged();
    keeper.doubtAll();
  };
  const stopWatch = watchWake({
    clock,
    onWake: (slept) => {
      log.info({ slept }, "the host slept: links are checked");
      networkChanged();
    },
  });

  libp2p.addEventListener("connection:open", ({ detail }) => links.opened(memberConnection(detail)));
  libp2p.addEventListener("connection:close", ({ detail }) => links.closed(memberConnection(detail)));
  libp2p.addEventListener("peer:identify", ({ detail }) => links.usable(memberConnection(detail.connection)));
  joinTopic(libp2p.services.gossip, {
    topic,
    judge: (record) => queries.judgeRecord(record),
    onRejected: () => refusals.count("gossip-rejected"),
    onHello: (from, hello) => {
      const node = nodeOf(from);
      if (node !== undefined) keeper.heard(node, hello);
    },
    onRecord: (record, { propagationSource }) => {
      const from = nodeOf(propagationSource);
      if (from !== undefined) reportRecords("gossip")(from, [record]);
    },
  });

  await mesh.handle(
    SYNC_PROTOCOL,
    async (stream, { remotePeer }) => {
      const from = nodeOf(remotePeer);
      if (from === undefined || bar.isBarred(from, clock.now())) return stream.abort(new Error("not synced with"));
      if (!syncPace.take(from, clock.now())) {
        refusals.count("member-limit");
        return stream.abort(new Error("too many syncs"));
      }
      const part = { isInitiator: false, signal: rounds.signal, open: () => Promise.resolve(stream) };
      await served.run(() => sync(from, part)).catch((error: unknown) => syncFailed(from, error));
    },
    { maxInboundStreams: MAX_SYNC_STREAMS },
  );
  await mesh.handle(
    CARRY_JOIN_PROTOCOL,
    async (stream, { remotePeer }) => {
      const carriedBy = nodeOf(remotePeer);
      if (carriedBy === undefined) return stream.abort(new Error("not a node"));
      await serveCarriedJoin({ stream, carriedBy, desk, clock }).catch((error: unknown) =>
        log.debug({ node: carriedBy, reason: String(error) }, "carried join request failed"),
      );
    },
    { maxInboundStreams: MAX_CARRIED_STREAMS },
  );

  const close = async (): Promise<void> => {
    events.close();
    refusals.close();
    stopWatch();
    links.close();
    keeper.close();
    rounds.close();
    await stopWithin(mesh, { clock, timeout: CLOSE_TIMEOUT });
    deadline.close();
  };

  const port = await mesh.listen({ ip: options.listen?.ip, port: options.listen?.port ?? options.port }).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  let closed: Promise<void> | undefined;
  return {
    port,
    connect: (node, endpoints) => links.connect(node, endpoints),
    disconnect: (node) => links.disconnect(node, queries.isRemoved(node) ? LAST_WORDS : 0),
    networkChanged,
    settle: (within) => rounds.settle(within),
    gossipCounts: () => keeper.counts,
    publish: (record) => {
      libp2p.services.gossip.publish(topic, record).catch((error: unknown) => log.debug({ reason: String(error) }, "record not published"));
    },
    answerJoin: (id, response) => desk.answer(id, response),
    carryJoin: (id, issuer, request) => {
      carry(issuer, request).then(
        (response) => events.push({ type: "join-carried", id, response }),
        (error: unknown) => {
          log.debug({ node: issuer, reason: String(error) }, "join request not carried to its issuer");
          events.push({ type: "join-carried", id, response: undefined });
        },
      );
    },
    close: () => {
      closed ??= close();
      return closed;
    },
  };

  async function carry(issuer: NodeId, request: Uint8Array): Promise<Uint8Array> {
    return await carryJoin(connectionTo(mesh, issuer), request, clock);
  }
}

function selfOf({ libp2p }: Libp2pNode): NodeId {
  const self = nodeOf(libp2p.peerId);
  if (self === undefined) throw new TypeError("a node's key is Ed25519");
  return self;
}

/** The newest open connection to the node. */
function connectionTo({ libp2p }: Libp2pNode, node: NodeId): Connection {
  const connection = libp2p.getConnections(peerIdOf(node)).findLast(({ status }) => status === "open");
  if (connection === undefined) throw new Error(`no link to ${shortId(node)}`);
  return connection;
}

function describeConnection(connection: Connection, openedAt: Millis): MemberConnection {
  const node = nodeOf(connection.remotePeer);
  if (node === undefined) throw new TypeError("the encrypter lets nodes in alone");
  return {
    node,
    remote: endpointOf(connection.remoteAddr),
    dialled: connection.direction === "outbound",
    openedAt,
    ping: (signal) => pingLink(connection, signal),
    abort: (reason) => connection.abort(new Error(reason)),
  };
}

/** Stops libp2p; what does not stop in time loses its connections. */
async function stopWithin({ libp2p }: Libp2pNode, limit: { readonly clock: Clock; readonly timeout: Millis }): Promise<void> {
  const open = libp2p.getConnections();
  await withDeadline(limit, () => Promise.resolve(libp2p.stop())).catch((error: unknown) => {
    for (const connection of open) connection.abort(error instanceof Error ? error : new Error(String(error)));
  });
}
