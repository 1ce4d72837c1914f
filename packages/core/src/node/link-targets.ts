import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { NodeEffect } from "./node-effect.ts";

/** Members the control plane was told to keep links with, and where: only changes are told. */
export class LinkTargets {
  readonly #told = new Map<NodeId, string>();

  /** Without endpoints there is nothing to dial, and what was told stays. */
  want(node: NodeId, endpoints: readonly Endpoint[]): readonly NodeEffect[] {
    const text = endpoints.map(formatEndpoint).join();
    if (endpoints.length === 0 || this.#told.get(node) === text) return [];
    this.#told.set(node, text);
    return [{ type: "connect", node, endpoints }];
  }

  drop(node: NodeId): NodeEffect {
    this.#told.delete(node);
    return { type: "disconnect", node };
  }

  /** Drops whoever is not to be linked any more: of those that were told, and of those linked by the other side. */
  keepOnly(wanted: ReadonlySet<NodeId>, linked: Iterable<NodeId>): readonly NodeEffect[] {
    return [...new Set([...this.#told.keys(), ...linked])].filter((node) => !wanted.has(node)).map((node) => this.drop(node));
  }
}
