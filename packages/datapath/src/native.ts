import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { MeshError } from "@mesh/core/errors";
import type {
  Datapath,
  DatapathCounters,
  DatapathException,
  DatapathInfo,
  DatapathOptions,
  DatapathSession,
  Endpoint,
  ForwardingTable,
  Millis,
  PeerSlot,
  PeerTraffic,
} from "@mesh/core/ports";
import { builtAddonPath } from "../build.mjs";
import type { Addon, AddonHandle } from "./addon.ts";
import { checkSlot, decodeExceptions, encodeEndpoint, encodeTable, readCounters, readTraffic, STATS_WORDS } from "./addon-codec.ts";
import { portTaken, tunRefused, unavailable } from "./open-fault.ts";

/** Room for the exceptions of one batch: 42 datagrams of the largest size, hundreds of handshakes. */
const BATCH_BYTES = 65_536;

export function openNativeDatapath(options: DatapathOptions): Datapath {
  return new NativeDatapath(loadAddon(), options);
}

/** CLOCK_BOOTTIME in milliseconds: the clock of every engine, also when none is open. Node itself cannot read it. */
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

  setEndpoint(slot: PeerSlot, endpoint: Endpoint | undefined): void {
    const isKnown = this.#addon.setEndpoint(this.#open(), checkSlot(slot), encodeEndpoint(endpoint));
    if (!isKnown) throw new RangeError(`slot ${slot} has no peer`);
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

  sendDatagram(to: Endpoint, bytes: Uint8Array): void {
    this.#addon.sendDatagram(this.#open(), encodeEndpoint(to), bytes);
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
