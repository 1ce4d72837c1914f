import type { AddressPlan } from "../address/address-plan.ts";
import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import { isUsableCandidate } from "../path/candidate.ts";
import type { HostView } from "../ports/host-network.ts";
import { MAX_ENDPOINTS } from "../records/endpoint-record.ts";
import { type Millis, seconds } from "../time/millis.ts";

/** Changes of one node's endpoints closer than this are told as one. A laptop that changes networks settles within seconds. */
export const PUBLISH_INTERVAL: Millis = seconds(10);

export interface OwnEndpoints {
  readonly udp: readonly Endpoint[];
  readonly tcp: readonly Endpoint[];
}

/** Where this host can be reached, by its own addresses; never through the mesh itself. */
export function ownEndpoints(plan: AddressPlan, host: HostView, ports: { readonly udp: number; readonly tcp: number }): OwnEndpoints {
  const at = (port: number): readonly Endpoint[] =>
    host.addresses
      .map(({ ip }) => ({ ip, port }))
      .filter((endpoint) => isUsableCandidate(plan, endpoint))
      .slice(0, MAX_ENDPOINTS);
  return { udp: at(ports.udp), tcp: at(ports.tcp) };
}

/** When to publish next: at once the first time, then not before PUBLISH_INTERVAL has passed. */
export class EndpointPublisher {
  #published = "";
  #publishedAt: Millis | undefined;
  #wanted: OwnEndpoints | undefined;

  want(endpoints: OwnEndpoints): void {
    this.#wanted = textOf(endpoints) === this.#published ? undefined : endpoints;
  }

  /** Publish again though nothing changed: someone holds a newer record in our name. */
  wantAgain(endpoints: OwnEndpoints): void {
    this.#published = "";
    this.#wanted = endpoints;
  }

  wakeAt(): Millis | undefined {
    if (this.#wanted === undefined) return undefined;
    return this.#publishedAt === undefined ? 0 : this.#publishedAt + PUBLISH_INTERVAL;
  }

  /** What to publish now, if anything is due. */
  takeDue(now: Millis): OwnEndpoints | undefined {
    const dueAt = this.wakeAt();
    const wanted = this.#wanted;
    if (wanted === undefined || dueAt === undefined || now < dueAt) return undefined;
    this.#published = textOf(wanted);
    this.#publishedAt = now;
    this.#wanted = undefined;
    return wanted;
  }
}

function textOf({ udp, tcp }: OwnEndpoints): string {
  return `${udp.map(formatEndpoint).join()} ${tcp.map(formatEndpoint).join()}`;
}
