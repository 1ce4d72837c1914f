/** What native/binding.cc exports. Slots and indices are in range and arrays of the right size when these are called. */
export interface Addon {
  /** Throws an error with `code` ("aead", "udp", "tun", "threads") and `errno` (a number). */
  open(tunName: string, mtu: number, udpPort: number, stats: BigUint64Array, onWake: () => void): AddonHandle;
  close(handle: AddonHandle): void;
  now(): number;
  udpPort(handle: AddonHandle): number;
  isDualStack(handle: AddonHandle): boolean;
  /** 32 B. */
  setHandshakeKey(handle: AddonHandle, publicKey: Uint8Array): void;
  /** Slots and roaming slots: u16 each. Routes: ROUTE_BYTES each. */
  publishTable(handle: AddonHandle, slots: Uint8Array, roaming: Uint8Array, routes: Uint8Array): void;
  /** WAY_BYTES each, MAX_WAYS at most. False: no peer has the slot. */
  setWays(handle: AddonHandle, slot: number, ways: Uint8Array): boolean;
  /** MEMBER_BYTES each. */
  setRelay(handle: AddonHandle, members: Uint8Array, bytesPerSecond: number): void;
  /** Wipes the keys. False: no peer has the slot, or the index is in use. */
  installSession(
    handle: AddonHandle,
    slot: number,
    localIndex: number,
    remoteIndex: number,
    sendKey: Uint8Array,
    receiveKey: Uint8Array,
    isInitiator: boolean,
    expiresAt: number,
  ): boolean;
  dropSession(handle: AddonHandle, localIndex: number): boolean;
  sendKeepalive(handle: AddonHandle, slot: number): boolean;
  awaitTraffic(handle: AddonHandle): void;
  /** ttl 0: the host's default. */
  sendDatagram(handle: AddonHandle, way: Uint8Array, bytes: Uint8Array, ttl: number): void;
  /** As many as `to` has room for, u16 each. Returns how many there are. */
  openSockets(handle: AddonHandle, to: Uint8Array): number;
  /** u16 each. */
  closeSockets(handle: AddonHandle, sockets: Uint8Array): void;
  /** Returns how many bytes of `to` it filled with records; see addon-codec.ts. */
  takeExceptions(handle: AddonHandle, to: Uint8Array): number;
}

/** One engine, opaque. */
export type AddonHandle = { readonly brand: "AddonHandle" };
