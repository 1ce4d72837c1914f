import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { NodeEffect } from "./node-effect.ts";

/** Members the control plane was told to keep links with, and where: only changes are told. */
export class LinkTargets {
  readonly #told = new Map<NodeId, string>();
  /** Where they are by themselves. */
  readonly #endpoints = new Map<NodeId, readonly Endpoint[]>();
  readonly #tcpStreamOf: (node: NodeId) => Endpoint | undefined;

  /** `tcpStreamOf`: where an open connection to the member begins, which then is the first place to dial. */
  constructor(tcpStreamOf: (node: NodeId) => Endpoint | undefined = () => undefined) {
    this.#tcpStreamOf = tcpStreamOf;
  }

  /** Without endpoints there is nothing to dial, and what was told stays. */
  want(node: NodeId, endpoints: readonly Endpoint[]): readonly NodeEffect[] {
    if (endpoints.length > 0) this.#endpoints.set(node, endpoints);
    const stream = this.#tcpStreamOf(node);
    const dialled = stream === undefined ? endpoints : [stream, ...endpoints];
    const text = dialled.map(formatEndpoint).join();
    if (dialled.length === 0 || this.#told.get(node) === text) return [];
    this.#told.set(node, text);
    return [{ type: "connect", node, endpoints: dialled }];
  }

  isWanted(node: NodeId): boolean {
    return this.#told.has(node);
  }

  /** A connection to the member came or went. */
  relink(node: NodeId): readonly NodeEffect[] {
    const endpoints = this.#endpoints.get(node) ?? [];
    return endpoints.length === 0 && this.#tcpStreamOf(node) === undefined ? [this.drop(node)] : this.want(node, endpoints);
  }

  drop(node: NodeId): NodeEffect {
    this.#told.delete(node);
    this.#endpoints.delete(node);
    return { type: "disconnect", node };
  }

  /** Drops whoever is not to be linked any more: of those that were told, and of those linked by the other side. */
  keepOnly(wanted: ReadonlySet<NodeId>, linked: Iterable<NodeId>): readonly NodeEffect[] {
    return [...new Set([...this.#told.keys(), ...linked])].filter((node) => !wanted.has(node)).map((node) => this.drop(node));
  }
}
