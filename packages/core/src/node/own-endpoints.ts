import type { AddressPlan } from "../address/address-plan.ts";
import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import { isUsableCandidate } from "../path/candidate.ts";
import type { HostView } from "../ports/host-network.ts";
import { type EndpointRecord, MAX_ENDPOINTS } from "../records/endpoint-record.ts";
import { type Millis, seconds } from "../time/millis.ts";

/** Changes of one node's endpoints that go on are told as one in this time. */
export const PUBLISH_INTERVAL: Millis = seconds(10);

/**
 * So many are told at once: a laptop that changes networks loses one address and gains another, and peers must not wait for the
 * second (measured: 3.4 to 5 s with a burst of one). Fewer than record-book.ts lets through.
 */
export const PUBLISH_BURST = 3;

/** After a start others know where this node was; what it finds out by and by is told as one. */
const SETTLING: Millis = seconds(3);

/** What a node publishes of where it is. */
export type OwnPlace = Pick<EndpointRecord, "udp" | "reflexive" | "tcp" | "isReachable" | "isRelay" | "homes" | "tcpRelay">;

/** Of this host's own addresses. */
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

/** What decides where packets leave this host and come to it: its addresses and default routes. Others come and go with every container. */
export function placeOf({ addresses, routes }: HostView): string {
  return JSON.stringify([addresses, routes.filter(({ prefix }) => prefix.length === 0)]);
}

/** When to publish next: at once, PUBLISH_BURST times in a row, then once in PUBLISH_INTERVAL; the last word only. */
export class EndpointPublisher {
  #published = "";
  /** Each publication pays for one interval; so far ahead it is paid. */
  #paidUntil: Millis = 0;
  #wanted: OwnPlace | undefined;
  #notBefore: Millis = 0;

  /** This is what others hold since before the start. */
  resume(place: OwnPlace, now: Millis): void {
    this.#published = textOf(place);
    this.#notBefore = now + SETTLING;
  }

  /** A host without any address keeps what it said: it comes back where it was, or says where it is then. */
  want(place: OwnPlace): void {
    const isNowhere = place.udp.length + place.tcp.length === 0;
    this.#wanted = isNowhere || textOf(place) === this.#published ? undefined : place;
  }

  /** Publish again though nothing changed: someone holds a newer record in our name. */
  wantAgain(place: OwnPlace): void {
    this.#published = "";
    this.want(place);
  }

  wakeAt(): Millis | undefined {
    return this.#wanted === undefined ? undefined : Math.max(this.#notBefore, this.#paidUntil - (PUBLISH_BURST - 1) * PUBLISH_INTERVAL);
  }

  /** What to publish now, if anything is due. */
  takeDue(now: Millis): OwnPlace | undefined {
    const dueAt = this.wakeAt();
    const wanted = this.#wanted;
    if (wanted === undefined || dueAt === undefined || now < dueAt) return undefined;
    this.#published = textOf(wanted);
    this.#paidUntil = Math.max(this.#paidUntil, now) + PUBLISH_INTERVAL;
    this.#wanted = undefined;
    return wanted;
  }
}

export function samePlace(a: OwnPlace, b: OwnPlace): boolean {
  return textOf(a) === textOf(b);
}

function textOf({ udp, reflexive, tcp, isReachable, isRelay, homes, tcpRelay }: OwnPlace): string {
  const endpoints = [udp, reflexive, tcp].map((list) => list.map(formatEndpoint));
  return JSON.stringify([...endpoints, isReachable, isRelay, homes, tcpRelay]);
}
