import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { checkRelayTable, checkTtl, checkWay, checkWays } from "@mesh/core/engine";
import { MeshError } from "@mesh/core/errors";
import {
  type Datapath,
  type DatapathCounters,
  type DatapathException,
  type DatapathInfo,
  type DatapathOptions,
  type DatapathSession,
  type ForwardingTable,
  MAX_SOCKETS,
  type Millis,
  type PeerSlot,
  type PeerTraffic,
  type RelayTable,
  type SocketId,
  type Way,
} from "@mesh/core/ports";
import { builtAddonPath } from "../build.mjs";
import type { Addon, AddonHandle } from "./addon.ts";
import {
  checkSlot,
  decodeExceptions,
  decodeSockets,
  encodeMembers,
  encodeSockets,
  encodeTable,
  encodeWays,
  readCounters,
  readTraffic,
  STATS_WORDS,
} from "./addon-codec.ts";
import { portTaken, tunRefused, unavailable } from "./open-fault.ts";

/** Room for the exceptions of one batch: 42 datagrams of the largest size, hundreds of handshakes. */
const BATCH_BYTES = 65_536;

export function openNativeDatapath(options: DatapathOptions): Datapath {
  return new NativeDatapath(loadAddon(), options);
}

/** CLOCK_BOOTTIME in milliseconds, to the microsecond: the clock of every engine, also when none is open. Node itself cannot read it. */
export function nativeBootTime(): Millis {
  return loadAddon().now();
}

class NativeDatapath implements Datapath {
  readonly info: DatapathInfo;
  readonly #addon: Addon;
  readonly #handle: AddonHandle;
  readonly #stats = new BigUint64Array(new SharedArrayBuffer(STATS_WORDS * 8));
  readonly #batch = new Uint8Array(BATCH_BYTES);
  readonly #onExceptions: (batch: readonly DatapathException[]) => void;
  readonly #sockets = new Set<SocketId>([0]);
  #isClosed = false;

  constructor(addon: Addon, options: DatapathOptions) {
    const { tunName, mtu, udpPort } = options;
    if (!Number.isInteger(mtu) || mtu < 576 || mtu > 65_535) throw new RangeError(`no MTU: ${mtu}`);
    if (!Number.isInteger(udpPort) || udpPort < 0 || udpPort > 65_535) throw new RangeError(`no port: ${udpPort}`);
    this.#addon = addon;
    this.#onExceptions = (batch) => options.onExceptions(batch);
    try {
      this.#handle = addon.open(tunName, mtu, udpPort, this.#stats, () => this.#deliver());
    } catch (error) {
      throw explain(error, options);
    }
    this.info = {
      backend: "native",
      tunName,
      mtu,
      udpPort: addon.udpPort(this.#handle),
      isDualStack: addon.isDualStack(this.#handle),
    };
  }

  now(): Millis {
    this.#open();
    return this.#addon.now();
  }

  setHandshakeKey(publicKey: Uint8Array): void {
    if (publicKey.length !== 32) throw new RangeError("a public key has 32 bytes");
    this.#addon.setHandshakeKey(this.#open(), publicKey);
  }

  publishTable(table: ForwardingTable): void {
    const { slots, roaming, routes } = encodeTable(table);
    this.#addon.publishTable(this.#open(), slots, roaming, routes);
  }

  setWays(slot: PeerSlot, ways: readonly Way[]): void {
    const handle = this.#open();
    checkWays(ways, (socket) => this.#sockets.has(socket));
    if (!this.#addon.setWays(handle, checkSlot(slot), encodeWays(ways))) throw new RangeError(`slot ${slot} has no peer`);
  }

  setRelay(table: RelayTable): void {
    const handle = this.#open();
    checkRelayTable(table);
    this.#addon.setRelay(handle, encodeMembers(table.members), table.bytesPerSecond);
  }

  installSession(session: DatapathSession): void {
    const { slot, localIndex, remoteIndex, sendKey, receiveKey, role, expiresAt } = session;
    if (sendKey.length !== 32 || receiveKey.length !== 32) throw new RangeError("a session key has 32 bytes");
    if (!(expiresAt >= 0)) throw new RangeError(`no instant: ${expiresAt}`);
    const isInitiator = role === "initiator";
    const isInstalled = this.#addon.installSession(
      this.#open(),
      checkSlot(slot),
      localIndex,
      remoteIndex,
      sendKey,
      receiveKey,
      isInitiator,
      expiresAt,
    );
    if (!isInstalled) throw new RangeError(`slot ${slot} has no peer, or index ${localIndex} is in use`);
  }

  dropSession(localIndex: number): void {
    this.#addon.dropSession(this.#open(), localIndex);
  }

  sendKeepalive(slot: PeerSlot): void {
    const isKnown = this.#addon.sendKeepalive(this.#open(), checkSlot(slot));
    if (!isKnown) throw new RangeError(`slot ${slot} has no peer`);
  }

  sendDatagram(way: Way, bytes: Uint8Array, { ttl }: { readonly ttl?: number } = {}): void {
    const handle = this.#open();
    checkWay(way);
    checkTtl(ttl);
    this.#addon.sendDatagram(handle, encodeWays([way]), bytes, ttl ?? 0);
  }

  openSockets(count: number): readonly SocketId[] {
    const handle = this.#open();
    const room = new Uint8Array(2 * Math.min(Math.max(0, Math.ceil(count)), MAX_SOCKETS));
    const opened = decodeSockets(room.subarray(0, 2 * this.#addon.openSockets(handle, room)));
    for (const socket of opened) this.#sockets.add(socket);
    return opened;
  }

  closeSockets(sockets: readonly SocketId[]): void {
    const handle = this.#open();
    const known = sockets.filter((socket) => socket !== 0 && this.#sockets.delete(socket));
    this.#addon.closeSockets(handle, encodeSockets(known));
  }

  awaitTraffic(): void {
    this.#addon.awaitTraffic(this.#open());
  }

  readTraffic(slot: PeerSlot): PeerTraffic {
    this.#open();
    return readTraffic(this.#stats, slot);
  }

  readCounters(): DatapathCounters {
    this.#open();
    return readCounters(this.#stats);
  }

  /** The addon joins its threads inside the call, for at most one batch of packets; closing the TUN takes the kernel some ms. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#addon.close(this.#handle);
  }

  #open(): AddonHandle {
    if (this.#isClosed) throw new TypeError("the datapath is closed");
    return this.#handle;
  }

  /** Takes one batch. When more is left the addon wakes again, after whatever else the event loop has to do. */
  #deliver(): void {
    if (this.#isClosed) return; // a wake-up can be queued already when close is called
    const used = this.#addon.takeExceptions(this.#handle, this.#batch);
    if (used > 0) this.#onExceptions(decodeExceptions(this.#batch.subarray(0, used)));
  }
}

let loaded: Addon | undefined;

/** A prebuilt binary of this platform, else the one built here from these very sources. */
function loadAddon(): Addon {
  if (loaded !== undefined) return loaded;
  const prebuilt = fileURLToPath(new URL(`../prebuilds/${process.platform}-${process.arch}/mesh_datapath.node`, import.meta.url));
  const path = [prebuilt, builtAddonPath()].find((candidate) => existsSync(candidate));
  if (path === undefined) throw notLoaded("the packet engine is not built");
  try {
    loaded = createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw notLoaded(`${path} cannot be loaded`, cause);
  }
  return loaded;
}

function notLoaded(reason: string, cause?: unknown): MeshError {
  return new MeshError(
    "datapath/unavailable",
    `Packets cannot be carried: ${reason}.`,
    { reason },
    {
      hint: "Install a C++ compiler (apt-get install g++) and run: node packages/datapath/build.mjs",
      cause,
    },
  );
}

/** The addon's error as one that says what to do. */
function explain(error: unknown, options: DatapathOptions): unknown {
  if (!(error instanceof Error) || !("code" in error) || !("errno" in error) || typeof error.errno !== "number") return error;
  const errno = error.errno === 0 ? "unknown" : getSystemErrorName(-error.errno);
  if (error.code === "udp" && errno === "EADDRINUSE") return portTaken(options.udpPort);
  if (error.code === "tun") return tunRefused(options.tunName, errno);
  if (error.code !== "aead") return unavailable(`${error.code}: ${errno}`);
  const reason = "this Node has no OpenSSL 3 with ChaCha20-Poly1305";
  const hint = "Use the Node that pnpm installs: ./mesh does.";
  return new MeshError("datapath/unavailable", `The packet engine cannot start: ${reason}.`, { reason }, { hint });
}
