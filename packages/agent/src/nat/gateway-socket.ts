import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { type Clock, ipFamily, type Millis } from "@mesh/core/ports";
import type { Faults } from "./mapping.ts";
import { gatewayAddress, type Uplink } from "./uplinks.ts";

export interface GatewaySocketOptions {
  readonly uplink: Uplink;
  readonly clock: Clock;
  readonly faults: Faults;
  readonly signal: AbortSignal;
}

/** A router on the link answers within a few ms. Asked twice: RFC 6886 section 3.1 begins with this interval and goes on for a minute. */
export const ANSWER_TIMEOUT: Millis = 250;
const ATTEMPTS = 2;

/** Datagrams that one socket reads; a router has a few to say. */
const MAX_HEARD = 64;

/** A UDP socket of one uplink that hears nobody but its router. */
export interface GatewaySocket {
  /** To that port of the router, or of the group given. */
  send(bytes: Uint8Array, port: number, group?: string): void;
  /**
   * Sends, and once more when nothing comes. The first answer that `read` takes; undefined when there is none within 2 × 250 ms,
   * or the signal is aborted. One question at a time.
   */
  ask<T>(request: Uint8Array, port: number, read: (bytes: Uint8Array) => T | undefined): Promise<T | undefined>;
  /** Of what comes when nothing is asked. */
  onHeard(listener: (bytes: Uint8Array) => void): void;
}

/** Runs `work` with a socket that is gone when it returns; undefined when there is none to be had. */
export async function withGatewaySocket<T>(
  options: GatewaySocketOptions,
  work: (socket: GatewaySocket) => Promise<T>,
): Promise<T | undefined> {
  const socket = createSocket(ipFamily(options.uplink.source) === 4 ? "udp4" : "udp6");
  // An address that has gone, a link that is down: the socket stays as it is and nobody answers.
  socket.on("error", () => options.faults.count("unreachable"));
  try {
    if (options.signal.aborted || !(await isBound(socket, options.uplink.source))) return undefined;
    return await work(new UplinkSocket(socket, options));
  } finally {
    socket.close();
  }
}

function isBound(socket: Socket, source: string): Promise<boolean> {
  return new Promise((resolve) => {
    socket.once("listening", () => resolve(true)).once("error", () => resolve(false));
    socket.bind({ address: source, port: 0 });
  });
}

class UplinkSocket implements GatewaySocket {
  readonly #socket: Socket;
  readonly #options: GatewaySocketOptions;
  readonly #address: string;
  #listener: (bytes: Uint8Array) => void = () => this.#options.faults.count("malformed");
  #heard = 0;

  constructor(socket: Socket, options: GatewaySocketOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#address = gatewayAddress(options.uplink);
    socket.on("message", (bytes, from) => this.#hear(bytes, from));
  }

  send(bytes: Uint8Array, port: number, group?: string): void {
    const { faults, uplink } = this.#options;
    try {
      if (group !== undefined) this.#socket.setMulticastInterface(uplink.source);
      this.#socket.send(bytes, port, group ?? this.#address, (error) => {
        if (error !== null) faults.count("unreachable");
      });
    } catch {
      // The address, or its link, has gone since the socket was bound.
      faults.count("unreachable");
    }
  }

  onHeard(listener: (bytes: Uint8Array) => void): void {
    this.#listener = listener;
  }

  async ask<T>(request: Uint8Array, port: number, read: (bytes: Uint8Array) => T | undefined): Promise<T | undefined> {
    const { clock, faults, signal } = this.#options;
    const { promise, resolve } = Promise.withResolvers<T | undefined>();
    const giveUp = (): void => resolve(undefined);
    let cancel = (): void => {};
    const attempt = (left: number): void => {
      if (left === 0) return giveUp();
      this.send(request, port);
      cancel = clock.at(clock.now() + ANSWER_TIMEOUT, () => attempt(left - 1));
    };
    this.onHeard((bytes) => {
      const answer = read(bytes);
      if (answer === undefined) faults.count("malformed");
      else resolve(answer);
    });
    signal.addEventListener("abort", giveUp, { once: true });
    if (signal.aborted) giveUp();
    else attempt(ATTEMPTS);
    try {
      return await promise;
    } finally {
      cancel();
      signal.removeEventListener("abort", giveUp);
    }
  }

  #hear(bytes: Uint8Array, from: RemoteInfo): void {
    const { faults } = this.#options;
    if (from.address !== this.#address) return faults.count("stranger");
    if (++this.#heard > MAX_HEARD) return faults.count("flood");
    this.#listener(bytes);
  }
}
