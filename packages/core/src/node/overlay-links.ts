import type { AddressPlan } from "../address/address-plan.ts";
import { address4, address6 } from "../address/address-plan.ts";
import type { Endpoint } from "../address/endpoint.ts";
import type { NodeId } from "../ids/node-id.ts";
import { isUsableCandidate } from "../path/candidate.ts";
import type { EndpointRecord } from "../records/endpoint-record.ts";
import { type Millis, seconds } from "../time/millis.ts";

/** A link that was lost is dialled again where it was first. */
const PATIENCE: Millis = seconds(2);
/** Others may have become reachable meanwhile. */
const AGAIN_AFTER: Millis = seconds(30);
/** Links through the tunnel at once: they keep paths awake. */
const MAX_OVERLAY_LINKS = 2;

/** Whether this node is without any control link, and since when. */
export class CutOff {
  #dueAt: Millis | undefined;

  wakeAt(): Millis | undefined {
    return this.#dueAt;
  }

  /** True when links through the tunnel should be tried now. */
  isDue(isCutOff: boolean, now: Millis): boolean {
    if (!isCutOff) {
      this.#dueAt = undefined;
      return false;
    }
    this.#dueAt ??= now + PATIENCE;
    if (now < this.#dueAt) return false;
    this.#dueAt = now + AGAIN_AFTER;
    return true;
  }
}

/**
 * Whom to link with through the tunnel, and where: records must go on when the last member that others can dial is gone. Of the peers
 * that packets reach everybody chooses the same first ones, so that all hang together.
 */
export function linksThroughTunnel(
  records: readonly EndpointRecord[],
  around: {
    readonly plan: AddressPlan;
    readonly isIpv4Usable: boolean;
    numberOf(node: NodeId): number | undefined;
    isReached(node: NodeId): boolean;
  },
): readonly { readonly node: NodeId; readonly endpoints: readonly Endpoint[] }[] {
  const { plan, isIpv4Usable } = around;
  return records
    .filter(({ node, isStopped }) => !isStopped && around.isReached(node))
    .sort((a, b) => (a.node < b.node ? -1 : 1))
    .slice(0, MAX_OVERLAY_LINKS)
    .flatMap(({ node, tcp }) => {
      const number = around.numberOf(node);
      const [first] = tcp;
      if (number === undefined || first === undefined) return [];
      const ips = [...(isIpv4Usable ? [address4(plan, number)] : []), address6(plan, number)];
      const outside = tcp.filter((endpoint) => isUsableCandidate(plan, endpoint));
      return [{ node, endpoints: [...ips.map((ip) => ({ ip, port: first.port })), ...outside] }];
    });
}
