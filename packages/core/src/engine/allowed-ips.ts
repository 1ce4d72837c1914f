import { ipBytes, ipFamily } from "../address/ip.ts";
import type { Prefix } from "../address/prefix.ts";
import type { PeerSlot } from "../ports/datapath.ts";

interface Node {
  slot: PeerSlot | undefined;
  zero: Node | undefined;
  one: Node | undefined;
}

/**
 * Prefix to peer slot, longest prefix first: a trie of one bit a level and a root for each family. Reads addresses as
 * packets carry them, so that an IPv4-mapped IPv6 source is never taken for the IPv4 address in it.
 */
export class AllowedIps {
  readonly #roots: { readonly 4: Node; readonly 6: Node } = { 4: leaf(), 6: leaf() };

  /** A prefix put again takes the new slot. */
  insert(prefix: Prefix, slot: PeerSlot): void {
    const bytes = ipBytes(prefix.ip);
    let node = this.#roots[ipFamily(prefix.ip)];
    for (let depth = 0; depth < prefix.length; depth++) {
      const isOne = bitAt(bytes, depth);
      const child = (isOne ? node.one : node.zero) ?? leaf();
      if (isOne) node.one = child;
      else node.zero = child;
      node = child;
    }
    node.slot = slot;
  }

  /** The slot of the longest prefix that holds the address (4 or 16 bytes). */
  find(address: Uint8Array): PeerSlot | undefined {
    let node: Node | undefined = this.#roots[address.length === 4 ? 4 : 6];
    let found = node.slot;
    for (let depth = 0; depth < address.length * 8; depth++) {
      node = bitAt(address, depth) ? node.one : node.zero;
      if (node === undefined) break;
      found = node.slot ?? found;
    }
    return found;
  }
}

function leaf(): Node {
  return { slot: undefined, zero: undefined, one: undefined };
}

function bitAt(bytes: Uint8Array, index: number): boolean {
  return ((bytes[index >> 3] ?? 0) & (128 >> (index & 7))) !== 0;
}
