/**
 * One WebSocket and one UDP socket on loopback, a datagram for each binary message:
 *
 *   connection → message → UDP, to the engine alone
 *   engine     → UDP → queue (100 ms) → message → connection
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { Clock, Endpoint, Ip } from "@mesh/core/ports";
import type { WebSocket } from "ws";
import type { Counts } from "./counts.ts";
import { DatagramQueue } from "./datagram-queue.ts";

/** Handed to the connection and not written yet; what comes beyond waits in the queue, where it can be dropped. */
const MAX_UNWRITTEN_BYTES: number = 64 * 1_024;
/** For bursts of the engine while this process does something else. */
const RECEIVE_BUFFER_BYTES: number = 1_024 * 1_024;
/** Unsupported Data (RFC 6455, section 7.4.1). */
export const UNSUPPORTED_DATA = 1_003;
/** Of a connection that the engine never said anything to: more than handshakes and probes of 10 s. */
const MAX_UNANSWERED = 256;
/** WireGuard's first byte of a cookie reply. */
const COOKIE_REPLY = 3;

interface DatagramBridgeOptions {
  readonly clock: Clock;
  readonly counts: Counts;
  /** Source address of what goes to the engine, on loopback. */
  readonly source: Ip;
  readonly enginePort: number;
  /** The engine had something to say to the other end. */
  onAnswered?(): void;
}

/** Joins both until the connection is closed. Returns the loopback endpoint that the engine knows the other end by. */
export async function bridgeDatagrams(socket: WebSocket, options: DatagramBridgeOptions): Promise<Endpoint> {
  const { clock, counts, source, enginePort } = options;
  const udp = createSocket("udp4");
  // The engine may be gone, or its buffer full: datagrams get lost.
  udp.on("error", () => counts.count("udpFailed"));
  socket.once("close", () => closeQuietly(udp));
  let isAnswered = false;
  let unanswered = 0;

  const queue = new DatagramQueue(clock, (dropped) => counts.count("queueFull", dropped));
  let unwritten = 0;
  const pump = (): void => {
    while (unwritten < MAX_UNWRITTEN_BYTES && socket.readyState === socket.OPEN) {
      const bytes = queue.shift();
      if (bytes === undefined) return;
      unwritten += bytes.length;
      socket.send(bytes, { binary: true }, () => {
        unwritten -= bytes.length;
        pump();
      });
    }
  };
  udp.on("message", (bytes) => {
    // A cookie goes to strangers, too.
    if (!isAnswered && bytes[0] !== COOKIE_REPLY) {
      options.onAnswered?.();
      isAnswered = true;
    }
    queue.push(bytes);
    pump();
  });
  socket.on("message", (data, isBinary) => {
    if (!isBinary || !Buffer.isBuffer(data)) {
      counts.count("notBinary");
      return socket.close(UNSUPPORTED_DATA);
    }
    unanswered += isAnswered ? 0 : 1;
    if (unanswered > MAX_UNANSWERED) {
      counts.count("unanswered");
      return socket.terminate();
    }
    if (data.length > 0) udp.send(data);
  });

  // Nothing is read before there is a place for it.
  socket.pause();
  udp.bind({ address: source, port: 0 });
  await once(udp, "listening");
  try {
    udp.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  } catch {
    counts.count("smallBuffer");
  }
  // From now on the kernel lets in what the engine sends and nothing else.
  udp.connect(enginePort, "127.0.0.1");
  await once(udp, "connect");
  const { port } = udp.address();
  socket.resume();
  return { ip: source, port };
}

function closeQuietly(udp: Socket): void {
  try {
    udp.close();
  } catch {
    // It is closed already.
  }
}
