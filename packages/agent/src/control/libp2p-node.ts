import { yamux } from "@chainsafe/libp2p-yamux";
import { type Identify, identify } from "@libp2p/identify";
import type {
  Connection,
  ConnectionEncrypter,
  ConnectionGater,
  Libp2p,
  PeerId,
  StreamHandler,
  StreamHandlerOptions,
} from "@libp2p/interface";
import { tcp } from "@libp2p/tcp";
import { MeshError } from "@mesh/core/errors";
import { type Clock, type Endpoint, formatEndpoint, type Ip, type Millis, type NodeId } from "@mesh/core/ports";
import { createLibp2p, type Libp2pOptions } from "libp2p";
import type { Logger } from "pino";
import type { Gossip } from "./gossip.ts";
import { recordGossip } from "./gossip.ts";
import { type HandshakeDeadline, MAX_PENDING } from "./handshake-deadline.ts";
import { JOIN_ANSWER_TIMEOUT, JOIN_IO_TIMEOUT } from "./join-encrypter.ts";
import { libp2pLog } from "./libp2p-log.ts";
import { dialAddress, endpointOf, listenAddress } from "./multiaddr.ts";
import { Pace } from "./pace.ts";
import { nodeOf, privateKeyOf } from "./peer-id.ts";
import type { Refusals } from "./refusals.ts";
import { StreamGuard } from "./stream-guard.ts";
import { watchInbound } from "./watch-inbound.ts";

/** What the libp2p node is made from. */
interface Libp2pNodeOptions {
  readonly seed: Uint8Array;
  readonly topic: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly encrypters: readonly ((components: Components) => ConnectionEncrypter)[];
  readonly deadline: HandshakeDeadline;
  readonly refusals: Refusals;
  isRemoved(node: NodeId): boolean;
}

type Components = Parameters<NonNullable<Libp2pOptions["transports"]>[number]>[0];

export interface Libp2pNode {
  readonly libp2p: Libp2p<{ readonly identify: Identify; readonly gossip: Gossip }>;
  /** One address, at once, whatever else is being dialled: libp2p's own dialler tries addresses one after the other. */
  dial(node: NodeId, endpoint: Endpoint, signal: AbortSignal): Promise<Connection>;
  /** Serves a protocol of ours, within what members may ask (stream-guard.ts). */
  handle(protocol: string, handler: StreamHandler, options: StreamHandlerOptions): Promise<void>;
  /** Returns the TCP port. Throws MeshError "control/port-taken", or "config/invalid" for an address it cannot have. */
  listen(endpoint: ListenEndpoint): Promise<number>;
}

interface ListenEndpoint {
  /** undefined: every IPv4 and, where the host has it, IPv6 address. */
  readonly ip: Ip | undefined;
  /** 0: any. */
  readonly port: number;
}

/** A hub of a thousand nodes holds some hundred links; each costs 0.4 MB at most. */
const MAX_CONNECTIONS = 500;
/** Inbound upgrades under way: HandshakeDeadline's places, and as many again for join exchanges and for what it has just hung up on. */
const MAX_UPGRADES: number = 2 * MAX_PENDING;
/** Inbound connections a second from one address, for the same office. libp2p's default, 5, refused 15 of 20. */
const MAX_RATE_PER_SOURCE = 50;
/** Connections one member may open in a row, races of its endpoints and crossed dials included … */
const MEMBER_BURST = 16;
/** … and then one more each of these: each costs a Noise handshake and four signatures, 3 ms. */
const MEMBER_INTERVAL: Millis = 1_000;
/** Streams open at a time each way on one connection: four protocols, with the limits of each. */
const MAX_STREAMS = 64;
/** That one stream may have in flight: the least yamux allows. A sync over 200 ms still gets 1.3 MB/s. */
const WINDOW_BYTES = 262_144;
/** Unread on one stream, and waiting for a peer that does not read: then the stream is reset. A frame of sync is 1 MiB. yamux itself knows no limit for the latter. */
const MAX_STREAM_BUFFER_BYTES = 2_097_152;
/** By default one: identifying again while the first is still under way, as GossipKeeper may, would be refused. */
const IDENTIFY_STREAMS = 4;
/** A link is never silent for this long: it is pinged. */
const SOCKET_TIMEOUT: Millis = 60_000;

/** Started, not listening yet: handlers are to be in place before anyone can connect. */
export async function startLibp2p(options: Libp2pNodeOptions): Promise<Libp2pNode> {
  let components: Components | undefined;
  const { clock, refusals } = options;
  const guard = new StreamGuard({
    clock,
    onRefused: () => refusals.count("member-limit"),
  });
  const libp2p = await createLibp2p({
    privateKey: await privateKeyOf(options.seed),
    logger: libp2pLog(options.log),
    // Versions of node and libraries are nobody's business.
    nodeInfo: { name: "mesh", version: "", userAgent: "mesh" },
    // Addresses are told in endpoint records. So no interface address, and no overlay address, ever goes out by identify.
    addresses: { listen: [], announceFilter: () => [] },
    transports: [
      (given) => {
        components = given;
        const transport = tcp({ inboundSocketInactivityTimeout: SOCKET_TIMEOUT, outboundSocketInactivityTimeout: SOCKET_TIMEOUT })(given);
        return watchInbound(transport, (connection, error) => refusals.failed(connection, error));
      },
    ],
    connectionEncrypters: [...options.encrypters],
    streamMuxers: [
      yamux({
        // It pings and draws no conclusion; links.ts does both.
        enableKeepAlive: false,
        maxInboundStreams: MAX_STREAMS,
        maxOutboundStreams: MAX_STREAMS,
        streamOptions: {
          initialStreamWindowSize: WINDOW_BYTES,
          maxStreamWindowSize: WINDOW_BYTES,
          maxReadBufferLength: MAX_STREAM_BUFFER_BYTES,
          maxWriteBufferLength: MAX_STREAM_BUFFER_BYTES,
        },
      }),
    ],
    connectionGater: memberGater(options),
    connectionManager: {
      maxConnections: MAX_CONNECTIONS,
      maxIncomingPendingConnections: MAX_UPGRADES,
      inboundConnectionThreshold: MAX_RATE_PER_SOURCE,
      // The longest upgrade is a join exchange. Others have limits of their own (HandshakeDeadline, memberEncrypter).
      inboundUpgradeTimeout: JOIN_ANSWER_TIMEOUT + 3 * JOIN_IO_TIMEOUT,
    },
    // A stream for each ping, 5 ms at either end: ten links would cost an idle agent ten times what all else does.
    connectionMonitor: { enabled: false },
    services: {
      identify: (given: Components) =>
        identify({ maxInboundStreams: IDENTIFY_STREAMS, maxOutboundStreams: IDENTIFY_STREAMS })(guard.components(given)),
      gossip: (given: Components) => recordGossip(options.topic)(guard.components(given)) as Gossip,
    },
  });
  if (components === undefined) throw new Error("libp2p did not ask for its transport");
  const { transportManager } = components;
  return {
    libp2p,
    dial: (node, endpoint, signal) => transportManager.dial(dialAddress(node, endpoint), { signal }),
    handle: (protocol, handler, limits) => libp2p.handle(protocol, guard.handler(handler), limits),
    listen: (endpoint) => listenOn(transportManager, endpoint),
  };
}

/** Removed nodes are refused both ways, and libp2p itself never dials: links.ts does, by `dial` above. */
function memberGater({ isRemoved, deadline, clock, refusals }: Libp2pNodeOptions): ConnectionGater {
  const pace = new Pace<NodeId>({ burst: MEMBER_BURST, interval: MEMBER_INTERVAL });
  const denyRemoved = (peer: PeerId): boolean => {
    const node = nodeOf(peer);
    return node === undefined || isRemoved(node);
  };
  return {
    denyDialPeer: () => true,
    denyDialMultiaddr: () => true,
    denyInboundConnection: (connection) => {
      deadline.started(connection);
      return false;
    },
    denyInboundEncryptedConnection: (peer, connection) => {
      const node = nodeOf(peer);
      if (node === undefined || isRemoved(node)) return true;
      if (pace.take(node, clock.now())) return false;
      refusals.blame(connection, "member-limit");
      return true;
    },
    // Not before the muxer is chosen: until then it is one of libp2p's upgrades under way.
    denyInboundUpgradedConnection: (_peer, connection) => {
      deadline.met(connection);
      return false;
    },
    denyOutboundEncryptedConnection: denyRemoved,
    filterMultiaddrForPeer: () => false,
  };
}

type TransportManager = Components["transportManager"];

const ANY_IPV4 = "0.0.0.0" as Ip;
const ANY_IPV6 = "::" as Ip;
/** Random IPv4 ports of which the IPv6 twin may be taken, before giving up. */
const PORT_ATTEMPTS = 8;

async function listenOn(transports: TransportManager, { ip, port }: ListenEndpoint): Promise<number> {
  if (ip !== undefined) return await listenOne(transports, { ip, port });
  for (let attempt = 1; ; attempt++) {
    const chosen = await listenOne(transports, { ip: ANY_IPV4, port });
    try {
      await listenOne(transports, { ip: ANY_IPV6, port: chosen });
      return chosen;
    } catch (error) {
      const isTaken = error instanceof MeshError && error.code === "control/port-taken";
      // A host without IPv6 listens on IPv4 alone.
      if (!isTaken) return chosen;
      if (port !== 0 || attempt === PORT_ATTEMPTS) throw error;
      for (const listener of transports.getListeners()) await listener.close();
    }
  }
}

async function listenOne(transports: TransportManager, endpoint: Endpoint): Promise<number> {
  const before = new Set(transports.getListeners());
  const address = formatEndpoint(endpoint);
  try {
    await transports.listen([listenAddress(endpoint.ip, endpoint.port)]);
  } catch (error) {
    // libp2p reports all addresses at once, as one text.
    const text = error instanceof Error ? error.message : String(error);
    if (text.includes("EADDRINUSE")) {
      throw new MeshError(
        "control/port-taken",
        `TCP port ${address} is taken by another process.`,
        { address },
        {
          hint: "Stop the other process, or choose another address with --listen.",
          cause: error,
        },
      );
    }
    const reason = /\b(E[A-Z]{3,})\b/.exec(text)?.[1] ?? text;
    throw new MeshError(
      "config/invalid",
      `Cannot listen on ${address}: ${reason}.`,
      { key: "listen", reason },
      {
        hint: "Use an address that this host has, and a port it may use.",
        cause: error,
      },
    );
  }
  const listener = transports.getListeners().find((one) => !before.has(one));
  const bound = listener?.getAddrs()[0];
  if (bound === undefined) throw new Error(`libp2p says it listens on ${address}, and has no listener`);
  return endpointOf(bound).port;
}
