/** The asking side's connections: to the first of a member's endpoints that lets us in. */
import { type Clock, type Endpoint, formatEndpoint, type Millis } from "@mesh/core/ports";
import { WebSocket } from "ws";

export const DATAGRAMS_PATH = "/mesh/datagrams";
export const STREAM_PATH = "/mesh/stream";
/** For TCP, TLS and the upgrade: a firewall may drop what it does not like without a word. */
export const OPEN_TIMEOUT: Millis = 10_000;
/** Head start of each endpoint before the next is tried beside it (RFC 8305, section 5). */
export const HEAD_START: Millis = 250;
/** The largest datagram fits, and what Node reads of a stream at a time. */
export const MAX_MESSAGE_BYTES = 65_536;

interface OpenOptions {
  readonly endpoints: readonly Endpoint[];
  readonly path: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface OpenedSocket {
  readonly socket: WebSocket;
  readonly endpoint: Endpoint;
}

/** Rejects with what each endpoint said, in words for people, or with the reason of `signal`. */
export async function openWebSocket({ endpoints, path, clock, signal }: OpenOptions): Promise<OpenedSocket> {
  signal.throwIfAborted();
  const outcome = Promise.withResolvers<OpenedSocket>();
  const attempts = new Set<WebSocket>();
  const reasons: string[] = [];
  const cancels: (() => void)[] = [];
  let started = 0;
  let isDecided = false;

  const startNext = (): void => {
    const endpoint = endpoints[started];
    if (isDecided || endpoint === undefined) return;
    started += 1;
    cancels.push(clock.at(clock.now() + HEAD_START, startNext));
    const socket = new WebSocket(`wss://${formatEndpoint(endpoint)}${path}`, {
      // What is inside is encrypted and authenticated end to end: TLS is here to pass firewalls, and proves nothing.
      rejectUnauthorized: false,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
    });
    attempts.add(socket);
    let reason: string | undefined;
    socket.on("error", (error) => {
      reason ??= reasonOf(error);
    });
    cancels.push(
      clock.at(clock.now() + OPEN_TIMEOUT, () => {
        reason = `no answer for ${OPEN_TIMEOUT / 1_000} s`;
        socket.terminate();
      }),
    );
    socket.once("open", () => {
      if (isDecided) return;
      isDecided = true;
      attempts.delete(socket);
      outcome.resolve({ socket, endpoint });
    });
    socket.once("close", () => {
      if (isDecided) return;
      reasons.push(`${formatEndpoint(endpoint)}: ${reason ?? "it hung up"}`);
      if (reasons.length < endpoints.length) startNext();
      else outcome.reject(new Error(reasons.join("; ")));
    });
  };
  const onAbort = (): void => outcome.reject(signal.reason);

  if (endpoints.length === 0) throw new Error("no endpoint to connect to");
  signal.addEventListener("abort", onAbort, { once: true });
  startNext();
  try {
    return await outcome.promise;
  } finally {
    isDecided = true;
    signal.removeEventListener("abort", onAbort);
    for (const cancel of cancels) cancel();
    for (const socket of attempts) socket.terminate();
  }
}

/** In one line; what OpenSSL says is mostly about itself. */
export function reasonOf(error: Error): string {
  const tls = /:SSL routines:[^:]*:([^:]+):/.exec(error.message)?.[1];
  return tls === undefined ? (error.message.split("\n")[0] ?? "") : `TLS failed: ${tls}`;
}
