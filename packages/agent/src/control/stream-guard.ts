/**
 * What a member may ask of us over its links, whatever the protocol: every inbound stream of identify, ping, gossip, sync and carried
 * joins comes through here.
 *
 *   1. A stream: within the member's pace it goes to its handler; beyond, it is reset and counted.
 *   2. Of gossip: its bytes are counted as they come. Beyond the member's pace the stream is not read for as long as that takes, so that
 *      what follows waits in the member's own buffers (yamux lets 256 KiB through, then nothing), and each such rest is counted.
 */
import type { Connection, Stream, StreamHandler, StreamHandlerOptions } from "@libp2p/interface";
import type { Clock, Millis, NodeId } from "@mesh/core/ports";
import { Pace } from "./pace.ts";
import { nodeOf } from "./peer-id.ts";

/** Streams a member may open in a row: a new link takes five, a sync with what follows from it one in half a second. */
export const STREAM_BURST = 64;
/** And then one more each of these. An idle link opens one in ten seconds, the ping. */
export const STREAM_INTERVAL: Millis = 100;
/** Bytes of gossip in a row: the first records of a mesh of 1,000 from one neighbour, with what comes twice. */
export const GOSSIP_BURST_BYTES = 1_048_576;
/** 128 KiB a second from then on: 300 records, of which each costs a signature, 4 % of a core. Idle meshes say some bytes a second. */
export const GOSSIP_INTERVAL_OF_A_BYTE: Millis = 1_000 / 131_072;

export const GOSSIP_PROTOCOLS = "/meshsub/";

/** Where services of libp2p register their handlers. */
interface Registrar {
  handle(protocol: string, handler: StreamHandler, options?: StreamHandlerOptions): Promise<void>;
}

interface StreamGuardOptions {
  readonly clock: Clock;
  onRefused(cause: "stream" | "gossip"): void;
}

export class StreamGuard {
  readonly #options: StreamGuardOptions;
  readonly #streams = new Pace<NodeId>({ burst: STREAM_BURST, interval: STREAM_INTERVAL });
  readonly #gossip = new Pace<NodeId>({ burst: GOSSIP_BURST_BYTES, interval: GOSSIP_INTERVAL_OF_A_BYTE });

  constructor(options: StreamGuardOptions) {
    this.#options = options;
  }

  /** What libp2p gives to a service, with a registrar that guards every handler. */
  components<C extends { readonly registrar: Registrar }>(given: C): C {
    const registrar = replacing(given.registrar, "handle", (protocol: string, handler: StreamHandler, options?: StreamHandlerOptions) =>
      given.registrar.handle(protocol, this.handler(handler), options),
    );
    return replacing(given, "registrar", registrar);
  }

  handler(handler: StreamHandler): StreamHandler {
    return (stream: Stream, connection: Connection) => {
      const { clock, onRefused } = this.#options;
      const node = nodeOf(connection.remotePeer);
      if (node === undefined || !this.#streams.take(node, clock.now())) {
        onRefused("stream");
        return stream.abort(new Error("too many streams"));
      }
      if (stream.protocol.startsWith(GOSSIP_PROTOCOLS)) this.#meter(stream, node);
      return handler(stream, connection);
    };
  }

  #meter(stream: Stream, node: NodeId): void {
    const { clock, onRefused } = this.#options;
    let cancel = (): void => {};
    stream.addEventListener("message", ({ data }) => {
      const wait = this.#gossip.spend(node, data.byteLength, clock.now());
      if (wait === 0 || stream.readStatus !== "readable") return;
      onRefused("gossip");
      stream.pause();
      cancel = clock.at(clock.now() + wait, () => {
        if (stream.readStatus === "paused") stream.resume();
      });
    });
    stream.addEventListener("close", () => cancel(), { once: true });
  }
}

/** The same object but for one property. */
function replacing<T extends object, K extends keyof T>(whole: T, key: K, part: unknown): T {
  return new Proxy(whole, {
    get: (target, name) => {
      if (name === key) return part;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
