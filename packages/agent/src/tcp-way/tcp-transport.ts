/**
 * A way through firewalls that block UDP, for this agent as both ends of it: the port that it offers, and the connections that the
 * node wants. Engine and control plane see loopback endpoints only, and know nothing of it. Server and client are loaded when they are needed: TLS
 * and WebSocket take 10 MB.
 */
import type { NodeEffect, NodeEvent } from "@mesh/core/node";
import { type Clock, type Endpoint, formatEndpoint, type Ip, type NodeId, shortId } from "@mesh/core/ports";
import type { Logger } from "pino";
import { askEitherWay, type InvitedBy } from "./ask-either-way.ts";
import type { TcpWayClient } from "./client.ts";
import { Counts } from "./counts.ts";
import type { TcpWayServer } from "./server.ts";

type TcpWayEvent = Extract<NodeEvent, { readonly type: "tcp-way" }>;
export type TcpWayEffect = Extract<NodeEffect, { readonly type: "open-tcp-way" | "close-tcp-way" }>;

export interface TcpTransportOptions {
  /** TCP port to offer; 0: none. */
  readonly port: number;
  /** UDP port of the engine. */
  readonly enginePort: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborted when the agent ends. */
  readonly signal: AbortSignal;
}

interface Wanted {
  readonly closing: AbortController;
  client: TcpWayClient | undefined;
}

/** Throws MeshError "control/port-taken", or "config/invalid" when the port cannot be used. */
export async function openTcpTransport(options: TcpTransportOptions): Promise<TcpTransport> {
  const counts = new Counts();
  const transport = new TcpTransport(options, counts);
  if (options.port === 0) return transport;
  const { openTcpWayServer } = await import("./server.ts");
  transport.server = await openTcpWayServer({ ...options, counts, controlAt: () => transport.control });
  return transport;
}

export class TcpTransport {
  readonly #options: TcpTransportOptions;
  readonly #counts: Counts;
  readonly #wanted = new Map<NodeId, Wanted>();
  /** The last reason told of each member: a member that stays away is one line in the log. */
  readonly #told = new Map<NodeId, string>();
  #onEvent: (event: TcpWayEvent) => void = () => {};
  server: TcpWayServer | undefined;
  control: Endpoint | undefined;

  constructor(options: TcpTransportOptions, counts: Counts) {
    this.#options = options;
    this.#counts = counts;
  }

  /** From now on there is a control plane, listening there, and a node. */
  start(controlPort: number, listen: Endpoint | undefined, onEvent: (event: TcpWayEvent) => void): void {
    this.control = { ip: listen?.ip ?? ("127.0.0.1" as Ip), port: controlPort };
    this.#onEvent = onEvent;
  }

  perform(effect: TcpWayEffect): void {
    const { node } = effect;
    const known = this.#wanted.get(node);
    this.#wanted.delete(node);
    known?.closing.abort(new Error("not wanted any more"));
    known?.client?.close();
    if (effect.type === "open-tcp-way") this.#open(node, effect.endpoints);
    else this.#onEvent({ type: "tcp-way", node, way: undefined });
  }

  /** Connections that do not answer now are given up. */
  networkChanged(): void {
    for (const { client } of this.#wanted.values()) client?.check();
  }

  counters(): Readonly<Record<string, number>> {
    return this.#counts.view();
  }

  /** Asks a member to let this node in, by plain TCP or by TLS. */
  async ask(member: InvitedBy, ask: (member: InvitedBy, signal: AbortSignal) => Promise<Uint8Array>): Promise<Uint8Array> {
    const { clock, signal } = this.#options;
    const counts = this.#counts;
    const openStream = async (endpoints: readonly Endpoint[]) => {
      const { openStreamListener } = await import("./client.ts");
      return await openStreamListener({ endpoints, clock, signal, counts });
    };
    return await askEitherWay(member, { clock, signal, ask, openStream });
  }

  async close(): Promise<void> {
    this.#onEvent = () => {};
    this.control = undefined;
    for (const { closing, client } of this.#wanted.values()) {
      closing.abort(new Error("closed"));
      client?.close();
    }
    this.#wanted.clear();
    await this.server?.close();
  }

  #open(node: NodeId, endpoints: readonly Endpoint[]): void {
    const wanted: Wanted = { closing: new AbortController(), client: undefined };
    this.#wanted.set(node, wanted);
    const gone = (reason: string): void => {
      if (this.#wanted.get(node) !== wanted) return;
      this.#wanted.delete(node);
      this.#tell(node, reason);
      this.#onEvent({ type: "tcp-way", node, way: undefined });
    };
    this.#connect(wanted, endpoints, gone).then(
      (client) => {
        if (this.#wanted.get(node) !== wanted) return client.close();
        wanted.client = client;
        this.#told.delete(node);
        this.#options.log.info({ node, endpoint: formatEndpoint(client.remote) }, "UDP gets no answer: connected by TCP");
        this.#onEvent({ type: "tcp-way", node, way: { endpoint: client.endpoint, stream: client.stream } });
      },
      (error: unknown) => gone(error instanceof Error ? error.message : String(error)),
    );
  }

  async #connect({ closing }: Wanted, endpoints: readonly Endpoint[], onClosed: (reason: string) => void): Promise<TcpWayClient> {
    const { clock, enginePort } = this.#options;
    const { openTcpWay } = await import("./client.ts");
    return await openTcpWay({ endpoints, clock, enginePort, counts: this.#counts, signal: closing.signal, onClosed });
  }

  #tell(node: NodeId, reason: string): void {
    const { log } = this.#options;
    const level = this.#told.get(node) === reason ? "debug" : "info";
    this.#told.set(node, reason);
    log[level]({ node, reason }, `no connection by TCP to ${shortId(node)}`);
  }
}
