/** The asking side: loopback endpoints that lead to a member by TLS WebSocket. */
import { createServer, type Server, type Socket } from "node:net";
import type { Clock, Endpoint, Ip } from "@mesh/core/ports";
import { bridgeDatagrams } from "./bridge-datagrams.ts";
import { bridgeStream } from "./bridge-stream.ts";
import type { Counts } from "./counts.ts";
import { keepAlive } from "./keep-alive.ts";
import { DATAGRAMS_PATH, openWebSocket, reasonOf, STREAM_PATH } from "./web-socket.ts";

const LOOPBACK = "127.0.0.1" as Ip;
/** The control plane has one link to a member, and may dial a second beside it. */
const MAX_STREAMS = 8;

interface ClientOptions {
  readonly endpoints: readonly Endpoint[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly counts: Counts;
}

export interface StreamListener {
  /** Where the member's control plane is found. */
  readonly endpoint: Endpoint;
  /** Why the last connection to the member was not made. */
  readonly failure: string | undefined;
  close(): void;
}

/** Bridges every connection to a loopback port to a stream of its own, at the first endpoint that lets it in. */
export async function openStreamListener({ endpoints, clock, signal, counts }: ClientOptions): Promise<StreamListener> {
  const closing = new AbortController();
  const onAbort = (): void => close();
  let failure: string | undefined;
  let open = 0;
  const accept = (tcp: Socket): void => {
    tcp.on("error", () => counts.count("tcpFailed"));
    if (open >= MAX_STREAMS) {
      tcp.destroy();
      return;
    }
    open += 1;
    const gone = new AbortController();
    const hangUp = (): void => {
      tcp.destroy();
      gone.abort(new Error("closed"));
    };
    closing.signal.addEventListener("abort", hangUp, { once: true });
    tcp.once("close", () => {
      open -= 1;
      gone.abort(new Error("closed"));
      closing.signal.removeEventListener("abort", hangUp);
    });
    openWebSocket({ endpoints, path: STREAM_PATH, clock, signal: gone.signal }).then(
      ({ socket }) => {
        if (tcp.destroyed) return socket.terminate();
        keepAlive(socket, clock);
        bridgeStream(socket, tcp);
      },
      (error: unknown) => {
        failure = error instanceof Error ? error.message : String(error);
        tcp.destroy();
      },
    );
  };
  // What it brings waits in the kernel until there is a stream for it.
  const server = createServer({ pauseOnConnect: false, noDelay: true }, accept);
  const close = (): void => {
    signal.removeEventListener("abort", onAbort);
    closing.abort(new Error("closed"));
    server.close();
  };
  const endpoint = await listen(server);
  server.on("error", () => counts.count("notAccepted"));
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) close();
  return {
    endpoint,
    get failure() {
      return failure;
    },
    close,
  };
}

export interface TcpWayClient {
  /** For the engine's datagrams to the member. */
  readonly endpoint: Endpoint;
  /** To dial the member's control link at. */
  readonly stream: Endpoint;
  /** The member's own, which let us in. */
  readonly remote: Endpoint;
  /** This host's addresses changed: the connection may be dead, and must answer soon. */
  check(): void;
  close(): void;
}

/** Rejects when no endpoint lets us in. `onClosed` is called once, when the way is gone; not for `close`. */
export async function openTcpWay(
  options: ClientOptions & { readonly enginePort: number; onClosed(reason: string): void },
): Promise<TcpWayClient> {
  const { clock, counts, signal, enginePort, onClosed } = options;
  const { socket, endpoint: remote } = await openWebSocket({ ...options, path: DATAGRAMS_PATH });
  let reason = "the member hung up";
  socket.on("error", (error) => {
    reason = reasonOf(error);
  });
  const { check } = keepAlive(socket, clock);
  try {
    const endpoint = await bridgeDatagrams(socket, { clock, counts, source: LOOPBACK, enginePort });
    const listener = await openStreamListener({ ...options, endpoints: [remote] });
    let isWanted = true;
    const end = (): void => {
      listener.close();
      socket.terminate();
    };
    socket.once("close", () => {
      listener.close();
      if (isWanted) onClosed(reason);
    });
    if (signal.aborted || socket.readyState !== socket.OPEN) {
      isWanted = false;
      end();
      throw new Error(reason);
    }
    const close = (): void => {
      isWanted = false;
      end();
    };
    return { endpoint, stream: listener.endpoint, remote, check, close };
  } catch (error) {
    socket.terminate();
    throw error;
  }
}

async function listen(server: Server): Promise<Endpoint> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: LOOPBACK, port: 0 }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port");
  return { ip: LOOPBACK, port: address.port };
}
