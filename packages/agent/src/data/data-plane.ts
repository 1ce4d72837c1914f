import type { DatapathBackend } from "@mesh/core/config";
import type { NodeEffect, PeerStamps } from "@mesh/core/node";
import type {
  Clock,
  Datapath,
  DatapathException,
  DatapathOptions,
  ForwardingTable,
  Millis,
  NodeException,
  PeerSlot,
  PeerTraffic,
  SocketId,
} from "@mesh/core/ports";
import { bootTime, openDatapath } from "@mesh/datapath";

export { bootTime };

/** How often the engine's stamps are read: a silent peer is noticed this much later at most. Reading is memory, not a call. */
const TRAFFIC_INTERVAL: Millis = 250;
/** After so many that found nothing new, the engine is asked to say when traffic resumes … */
const QUIET_LOOKS = 20;
/** … and one look later the reading rests: a packet that crossed the asking is seen by that one. */
const LAST_LOOK: number = QUIET_LOOKS + 1;

/** Names tried for the tunnel device when nobody asked for one: one for each network of this host. */
const TUN_NAMES: readonly string[] = Array.from({ length: 64 }, (_, i) => `mesh${i}`);

export type DataEffect = Extract<
  NodeEffect,
  {
    type:
      | "set-handshake-key"
      | "publish-table"
      | "set-ways"
      | "set-relay"
      | "install-session"
      | "drop-session"
      | "send-keepalive"
      | "send-datagram"
      | "close-sockets";
  }
>;

export interface DataPlaneOptions {
  readonly tunName: string | undefined;
  readonly mtu: number;
  /** 0: any free port. */
  readonly udpPort: number;
  /** Undefined: native, else its twin. */
  readonly backend: DatapathBackend | undefined;
}

/** Opens the engine under the asked device name, or the first free one. Exceptions wait until {@link DataPlane.start}. */
export function openDataPlane(options: DataPlaneOptions): DataPlane {
  const { mtu, udpPort, backend } = options;
  const waiting: DatapathException[] = [];
  const sink = { onExceptions: (batch: readonly DatapathException[]): void => void waiting.push(...batch) };
  const open = (tunName: string): Datapath =>
    openDatapath({ tunName, mtu, udpPort, ...(backend !== undefined && { backend }), onExceptions: (batch) => sink.onExceptions(batch) });
  return new DataPlane(options.tunName === undefined ? openFirstFree(open) : open(options.tunName), sink, waiting);
}

/** Hands the node's effects to the engine, and the engine's exceptions and stamps to the node. */
export class DataPlane {
  readonly #datapath: Datapath;
  readonly #sink: { onExceptions: DatapathOptions["onExceptions"] };
  readonly #waiting: DatapathException[];
  #slots: readonly PeerSlot[] = [];
  /** Latest stamp told of each slot. */
  readonly #told = new Map<PeerSlot, Millis>();
  /** In a row, that found nothing new. */
  #quietLooks = 0;
  #onTraffic: ((peers: readonly PeerStamps[]) => void) | undefined;
  #cancelLook: (() => void) | undefined;

  constructor(datapath: Datapath, sink: { onExceptions: DatapathOptions["onExceptions"] }, waiting: DatapathException[]) {
    this.#datapath = datapath;
    this.#sink = sink;
    this.#waiting = waiting;
  }

  get info(): Datapath["info"] {
    return this.#datapath.info;
  }

  /** From now on exceptions and stamps are told, those that waited first. */
  start(options: {
    readonly clock: Clock;
    readonly onException: (exception: NodeException) => void;
    readonly onTraffic: (peers: readonly PeerStamps[]) => void;
  }): void {
    const { clock, onException, onTraffic } = options;
    this.#onTraffic = onTraffic;
    const look = (): void => {
      const peers = this.#changedStamps();
      this.#quietLooks = peers.length > 0 ? 0 : this.#quietLooks + 1;
      if (this.#quietLooks === QUIET_LOOKS) this.#datapath.awaitTraffic();
      this.#cancelLook = this.#quietLooks < LAST_LOOK ? clock.at(clock.now() + TRAFFIC_INTERVAL, look) : undefined;
      if (peers.length > 0) onTraffic(peers);
    };
    const tell = (batch: readonly DatapathException[]): void => {
      for (const exception of batch) {
        if (exception.type !== "traffic-resumed") {
          onException(exception);
        } else {
          this.#quietLooks = 0;
          if (this.#cancelLook === undefined) look();
        }
      }
    };
    this.#sink.onExceptions = tell;
    tell(this.#waiting.splice(0));
    look();
  }

  /** Stamps that are newer than what was told last, at once. */
  tellStamps(): void {
    const peers = this.#changedStamps();
    if (peers.length === 0) return;
    this.#quietLooks = 0;
    this.#onTraffic?.(peers);
  }

  perform(effect: DataEffect): void {
    switch (effect.type) {
      case "set-handshake-key":
        return this.#datapath.setHandshakeKey(effect.publicKey);
      case "publish-table":
        return this.#publish(effect.table);
      case "set-ways":
        return this.#datapath.setWays(effect.slot, effect.ways);
      case "set-relay":
        return this.#datapath.setRelay(effect.relay);
      case "install-session":
        return this.#datapath.installSession(effect.session);
      case "drop-session":
        return this.#datapath.dropSession(effect.localIndex);
      case "send-keepalive":
        return this.#datapath.sendKeepalive(effect.slot);
      case "close-sockets":
        return this.#datapath.closeSockets(effect.sockets);
      case "send-datagram":
        return this.#datapath.sendDatagram(effect.way, effect.bytes, effect);
    }
  }

  /** As many as could be had. */
  openSockets(count: number): readonly SocketId[] {
    return this.#datapath.openSockets(count);
  }

  traffic(slot: PeerSlot): PeerTraffic {
    return this.#datapath.readTraffic(slot);
  }

  counters(): ReturnType<Datapath["readCounters"]> {
    return this.#datapath.readCounters();
  }

  async close(): Promise<void> {
    this.#cancelLook?.();
    await this.#datapath.close();
  }

  #publish(table: ForwardingTable): void {
    this.#datapath.publishTable(table);
    this.#slots = table.peers;
    const kept = new Set(table.peers);
    for (const slot of [...this.#told.keys()]) if (!kept.has(slot)) this.#told.delete(slot);
  }

  #changedStamps(): readonly PeerStamps[] {
    const changed: PeerStamps[] = [];
    for (const slot of this.#slots) {
      const stamps = this.#datapath.readTraffic(slot);
      const latest = Math.max(stamps.authenticatedSentAt, stamps.authenticatedReceivedAt);
      if (latest === (this.#told.get(slot) ?? 0)) continue;
      this.#told.set(slot, latest);
      changed.push({ slot, stamps });
    }
    return changed;
  }
}

function openFirstFree(open: (tunName: string) => Datapath): Datapath {
  let taken: unknown;
  for (const name of TUN_NAMES) {
    try {
      return open(name);
    } catch (error) {
      if (!isTunTaken(error)) throw error;
      taken = error;
    }
  }
  throw taken;
}

function isTunTaken(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "datapath/tun-taken";
}
