import { type Endpoint, formatEndpoint, sameEndpoint } from "../address/endpoint.ts";
import { isPrivate } from "../address/ip.ts";
import { BoundedMap } from "../bytes/bounded-map.ts";
import type { NodeId } from "../ids/node-id.ts";
import { MAX_REFLEXIVE } from "../records/endpoint-record.ts";
import { type Millis, minutes } from "../time/millis.ts";

/** A word older than this says nothing of now: NATs forget sooner. */
const GOOD_FOR: Millis = minutes(10);
/** Peers whose word is kept. */
const MAX_OBSERVERS = 64;

/** What stands between this node and the peers that see it, by their words (RFC 4787, section 4.1). */
export type Mapping =
  | "unknown" // nobody has said anything
  | "none" // it is seen at its own address
  | "endpoint-independent" // all see the same port, or only one was heard
  | "endpoint-dependent"; // each sees another port

/** One peer's word on where it sees this node, as long as that is good. */
export interface Sighting {
  readonly observer: NodeId;
  readonly seen: Endpoint;
  readonly saidAt: Millis;
}

/** Where peers see this node's datagrams come from: its reflexive addresses. The latest word of each peer counts. */
export class ObservedEndpoints {
  readonly #words = new BoundedMap<NodeId, { readonly seen: Endpoint; readonly saidAt: Millis }>(MAX_OBSERVERS);

  /** True when it is another word than before. */
  note(observer: NodeId, seen: Endpoint, now: Millis): boolean {
    const isNew = !sameEndpoint(this.#words.get(observer)?.seen, seen);
    this.#words.set(observer, { seen, saidAt: now });
    return isNew;
  }

  forget(observer: NodeId): void {
    this.#words.delete(observer);
  }

  /** Our own addresses changed: what was seen before is of another network. */
  clear(): void {
    this.#words.clear();
  }

  sightings(now: Millis): readonly Sighting[] {
    return [...this.#words.entries()].flatMap(([observer, word]) => (now - word.saidAt < GOOD_FOR ? [{ observer, ...word }] : []));
  }

  /** The latest of every peer, without repetition, as text. */
  all(): readonly string[] {
    return [...new Set([...this.#words.entries()].map(([, { seen }]) => formatEndpoint(seen)))].sort();
  }

  /**
   * Endpoints besides our own at which a NAT may let others in: those that more than one peer sees. One peer's word is enough where
   * no other says anything, and for a private address: by a lie about a public one, a member could make others knock there. Where
   * each sees another port, our own stands for it: somebody may have forwarded it, and who sends there opens its NAT for the address.
   */
  reflexive(own: readonly Endpoint[], now: Millis): readonly Endpoint[] {
    const seen = this.#foreign(own, now);
    const trusted = this.#trusted(seen);
    const varying = [...new Set(seen.map(({ ip }) => ip))].filter(
      (ip) => !trusted.some((endpoint) => endpoint.ip === ip) && seen.filter((endpoint) => endpoint.ip === ip).length > 1,
    );
    const guessed = varying.map((ip) => ({ ip, port: own[0]?.port ?? 0 })).filter(({ port }) => port > 0);
    return [...trusted, ...guessed].slice(0, MAX_REFLEXIVE);
  }

  mapping(own: readonly Endpoint[], now: Millis): Mapping {
    if (this.#fresh(now).length === 0) return "unknown";
    if (this.#foreign(own, now).length === 0) return "none";
    return this.#trusted(this.#foreign(own, now)).length === 0 ? "endpoint-dependent" : "endpoint-independent";
  }

  #trusted(seen: readonly Endpoint[]): readonly Endpoint[] {
    const seenPublicly = seen.filter(({ ip }) => !isPrivate(ip)).length;
    const times = new Map<string, { readonly endpoint: Endpoint; readonly count: number }>();
    for (const endpoint of seen) {
      const text = formatEndpoint(endpoint);
      times.set(text, { endpoint, count: (times.get(text)?.count ?? 0) + 1 });
    }
    const isTrusted = (endpoint: Endpoint, count: number): boolean => count > 1 || isPrivate(endpoint.ip) || seenPublicly === 1;
    return [...times.values()].flatMap(({ endpoint, count }) => (isTrusted(endpoint, count) ? [endpoint] : []));
  }

  #fresh(now: Millis): readonly Endpoint[] {
    return [...this.#words.entries()].flatMap(([, { seen, saidAt }]) => (now - saidAt < GOOD_FOR ? [seen] : []));
  }

  #foreign(own: readonly Endpoint[], now: Millis): readonly Endpoint[] {
    const hosts = new Set(own.map(({ ip }) => ip));
    return this.#fresh(now).filter(({ ip }) => !hosts.has(ip));
  }
}
