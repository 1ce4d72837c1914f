import { formatHex, parseHex } from "../bytes/hex.ts";

/** SHA-256 of the network statement's record bytes, in hex. */
export type NetworkId = string & { readonly brand: "NetworkId" };

export function networkId(sha256: Uint8Array): NetworkId {
  return formatHex(sha256) as NetworkId;
}

export function networkIdBytes(id: NetworkId): Uint8Array {
  const bytes = parseHex(id);
  if (bytes?.length !== 32) throw new TypeError(`not a network id: ${id}`);
  return bytes;
}
