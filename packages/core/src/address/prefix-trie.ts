import { type Ip, ipBytes, ipFamily } from "./ip.ts";
import type { Prefix } from "./prefix.ts";

interface TrieNode<T> {
  value: T | undefined;
  readonly children: [TrieNode<T> | undefined, TrieNode<T> | undefined];
}

/** Longest-prefix match over both families: one bit a level. For views, tests and simulations; packets use the engine's own. */
export class PrefixTrie<T> {
  readonly #roots: { readonly 4: TrieNode<T>; readonly 6: TrieNode<T> } = { 4: emptyNode(), 6: emptyNode() };

  /** A prefix put again takes the new value. */
  insert(prefix: Prefix, value: T): void {
    const bytes = ipBytes(prefix.ip);
    let node = this.#roots[ipFamily(prefix.ip)];
    for (let depth = 0; depth < prefix.length; depth++) {
      const bit = bitAt(bytes, depth);
      const child = node.children[bit] ?? emptyNode<T>();
      node.children[bit] = child;
      node = child;
    }
    node.value = value;
  }

  /** The value of the longest prefix that holds the address. */
  lookup(ip: Ip): T | undefined {
    const bytes = ipBytes(ip);
    let node: TrieNode<T> | undefined = this.#roots[ipFamily(ip)];
    let found = node.value;
    for (let depth = 0; depth < bytes.length * 8; depth++) {
      node = node.children[bitAt(bytes, depth)];
      if (node === undefined) break;
      found = node.value ?? found;
    }
    return found;
  }
}

function emptyNode<T>(): TrieNode<T> {
  return { value: undefined, children: [undefined, undefined] };
}

function bitAt(bytes: Uint8Array, index: number): 0 | 1 {
  return ((bytes[index >> 3] ?? 0) & (128 >> (index & 7))) === 0 ? 0 : 1;
}
