/**
 * The offering side: HTTPS on one TCP port, with two paths that upgrade to WebSocket and a plain 404 for everything else.
 *
 *   1. TCP: too many, too fast? (guests.ts) → TLS → HTTP
 *   2. /mesh/datagrams → bridge-datagrams.ts: to the engine the client is a loopback endpoint
 *      /mesh/stream    → bridge-stream.ts: a connection to the control plane's own port
 *   3. Who is a member is for engine and control plane to find out: they do so for any other source.
 */
import { randomBytes } from "node:crypto";
import { createServer as createHttpsServer } from "node:https";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { MeshError } from "@mesh/core/errors";
import { type Clock, type Endpoint, type Ip, parseIp } from "@mesh/core/ports";
import type { Logger } from "pino";
import { type WebSocket, WebSocketServer } from "ws";
import { bridgeDatagrams } from "./bridge-datagrams.ts";
import { bridgeStream } from "./bridge-stream.ts";
import { selfSignedCertificate } from "./certificate.ts";
import type { Counts } from "./counts.ts";
import { type Guest, Guests } from "./guests.ts";
import { keepAlive } from "./keep-alive.ts";
import { loopbackSource, sourceName } from "./loopback-source.ts";
import { DATAGRAMS_PATH, MAX_MESSAGE_BYTES, STREAM_PATH } from "./web-socket.ts";

/** Connections at a time: of members two each, and a few strangers on their way out. */
export const DEFAULT_MAX_CONNECTIONS = 64;
/** A stream that the control plane keeps for so long is no stranger's: those it hangs up on after 6 s, and 5 s to come up. */
const STREAM_PROVEN_AFTER = 12_000;

const NOT_FOUND = "<!doctype html><title>404 Not Found</title><h1>Not Found</h1>\n";

export interface TcpWayServerOptions {
  /** TCP port, on all addresses of the host; 0: any free one. */
  readonly port: number;
  /** UDP port of the engine. */
  readonly enginePort: number;
  /** Where the control plane listens; undefined: not yet, or not any more. */
  readonly controlAt: () => Endpoint | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly counts: Counts;
  readonly maxConnections?: number;
}

export interface TcpWayServer {
  readonly port: number;
  readonly connections: number;
  close(): Promise<void>;
}

interface Visit {
  readonly guest: Guest;
  readonly ip: Ip;
}

/** Throws MeshError "control/port-taken", or "config/invalid" when the port cannot be used. */
export async function openTcpWayServer(options: TcpWayServerOptions): Promise<TcpWayServer> {
  const { clock, log, counts, enginePort, controlAt, maxConnections = DEFAULT_MAX_CONNECTIONS } = options;
  const key = randomBytes(32);
  const sockets = new Set<Socket>();
  /** By ports of both ends, which a TLS socket shows as well as the TCP socket below it. */
  const visits = new Map<string, Visit>();
  const guests = new Guests({ clock, max: maxConnections, onRefused: (cause) => counts.count(cause) });
  const upgrades = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES, clientTracking: false });
  const web = createHttpsServer({ ...selfSignedCertificate(), ALPNProtocols: ["http/1.1"] }, (_request, response) => {
    counts.count("notFound");
    response.writeHead(404, { "Content-Type": "text/html", Connection: "close" }).end(NOT_FOUND);
  });
  web.on("tlsClientError", () => counts.count("tlsFailed"));
  web.on("clientError", (_error, socket) => {
    counts.count("httpFailed");
    socket.destroy();
  });
  web.on("upgrade", (request, socket, head) => {
    const { url } = request;
    socket.on("error", () => counts.count("tcpFailed"));
    const visit = visits.get(nameOf(request.socket));
    if (visit === undefined || (url !== DATAGRAMS_PATH && url !== STREAM_PATH)) return notFound(socket, counts);
    upgrades.handleUpgrade(request, socket, head, (upgraded) => {
      upgraded.on("error", (error) => log.debug({ reason: error.message }, "a connection by TCP broke"));
      visit.guest.upgraded();
      keepAlive(upgraded, clock);
      if (url === DATAGRAMS_PATH) takeDatagrams(upgraded, visit);
      else takeStream(upgraded, visit);
    });
  });

  const takeDatagrams = (socket: WebSocket, { guest, ip }: Visit): void => {
    const source = loopbackSource(key, ip);
    bridgeDatagrams(socket, { clock, counts, source, enginePort, onAnswered: () => guest.proven() }).catch((err: unknown) => {
      log.warn({ err }, "no socket for a connection by TCP");
      socket.terminate();
    });
  };
  const takeStream = (socket: WebSocket, { guest, ip }: Visit): void => {
    const control = controlAt();
    if (control === undefined) return socket.terminate();
    const tcp = connect({
      host: control.ip,
      port: control.port,
      ...(control.ip.includes(":") ? {} : { localAddress: loopbackSource(key, ip) }),
    });
    bridgeStream(socket, tcp);
    const cancel = clock.at(clock.now() + STREAM_PROVEN_AFTER, () => guest.proven());
    socket.once("close", cancel);
  };

  const accept = (socket: Socket): void => {
    const ip = parseIp(socket.remoteAddress ?? "");
    socket.on("error", () => counts.count("tcpFailed"));
    const guest = ip === undefined ? undefined : guests.admit(sourceName(ip), () => socket.destroy());
    if (ip === undefined || guest === undefined) {
      socket.resetAndDestroy();
      return;
    }
    socket.setNoDelay(true);
    const name = nameOf(socket);
    sockets.add(socket);
    visits.set(name, { guest, ip });
    socket.once("close", () => {
      sockets.delete(socket);
      visits.delete(name);
      guest.left();
    });
    web.emit("connection", socket);
  };

  const server = await listen(options.port, accept);
  // No file descriptor is left for a connection: the next one may find one.
  server.on("error", () => counts.count("notAccepted"));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : options.port,
    get connections() {
      return guests.count;
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      guests.close();
      for (const socket of sockets) socket.destroy();
      web.close();
      await closed;
    },
  };
}

function nameOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

function notFound(socket: Duplex, counts: Counts): void {
  counts.count("notFound");
  socket.end(
    `HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: ${NOT_FOUND.length}\r\nConnection: close\r\n\r\n${NOT_FOUND}`,
  );
}

/** Hosts without IPv6 take IPv4 alone. */
async function listen(port: number, accept: (socket: Socket) => void): Promise<Server> {
  try {
    return await listenAt("::", port, accept);
  } catch (error) {
    if (codeOf(error) !== "EAFNOSUPPORT" && codeOf(error) !== "EADDRNOTAVAIL") throw refusal(port, error);
  }
  return await listenAt("0.0.0.0", port, accept).catch((error: unknown) => {
    throw refusal(port, error);
  });
}

async function listenAt(host: string, port: number, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer(accept);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return server;
}

function refusal(port: number, error: unknown): MeshError {
  const hint = "Choose another port with --tcp-relay; 0 for none.";
  if (codeOf(error) === "EADDRINUSE") {
    const address = `*:${port}`;
    return new MeshError("control/port-taken", `TCP port ${port} is taken by another process.`, { address }, { hint, cause: error });
  }
  const reason = codeOf(error) ?? String(error);
  return new MeshError(
    "config/invalid",
    `Cannot listen on TCP port ${port}: ${reason}.`,
    { key: "tcp-relay", reason },
    { hint, cause: error },
  );
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
