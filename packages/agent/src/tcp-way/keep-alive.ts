import type { Clock, Millis } from "@mesh/core/ports";
import type { WebSocket } from "ws";

/** Firewalls forget idle connections, some after a minute. */
export const PING_INTERVAL: Millis = 25_000;
/** For the answer: several retransmissions by TCP. */
export const PONG_TIMEOUT: Millis = 10_000;
/** After a change of this host's addresses or a sleep: a round trip, and one retransmission by TCP (RFC 6298: 1 s at first). */
export const CHECK_TIMEOUT: Millis = 1_500;

export interface KeepAlive {
  /** This host's addresses changed: the connection may be dead, and must answer within CHECK_TIMEOUT. */
  check(): void;
}

/** Pings a connection on which nothing came for PING_INTERVAL, and ends it when nothing comes then either. */
export function keepAlive(socket: WebSocket, clock: Clock): KeepAlive {
  let heardAt = clock.now();
  let cancelPing = (): void => {};
  let cancelEnd = (): void => {};
  const heard = (): void => {
    heardAt = clock.now();
    cancelEnd();
    cancelEnd = () => {};
  };
  const ask = (timeout: Millis): void => {
    cancelEnd();
    cancelEnd = clock.at(clock.now() + timeout, () => socket.terminate());
    if (socket.readyState === socket.OPEN) socket.ping();
  };
  const watch = (): void => {
    const quietFor = clock.now() - heardAt;
    // Nobody was awake to ping.
    if (quietFor >= 2 * PING_INTERVAL) ask(CHECK_TIMEOUT);
    else if (quietFor >= PING_INTERVAL) ask(PONG_TIMEOUT);
    cancelPing = clock.at(clock.now() + (quietFor >= PING_INTERVAL ? PING_INTERVAL : PING_INTERVAL - quietFor), watch);
  };
  cancelPing = clock.at(clock.now() + PING_INTERVAL, watch);
  for (const event of ["message", "ping", "pong"]) socket.on(event, heard);
  socket.once("close", () => {
    cancelPing();
    cancelEnd();
  });
  return { check: () => ask(CHECK_TIMEOUT) };
}
