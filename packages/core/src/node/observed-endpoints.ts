import { distinctEndpoints, type Endpoint, formatEndpoint, sameEndpoint } from "../address/endpoint.ts";
import { type IpFamily, ipFamily, isPrivate } from "../address/ip.ts";
import { BoundedMap } from "../bytes/bounded-map.ts";
import type { NodeId } from "../ids/node-id.ts";
import { MAX_REFLEXIVE } from "../records/endpoint-record.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";
import type { Mapping } from "../wire/probe.ts";

/** A word older than this says nothing of now: NATs forget sooner. */
const GOOD_FOR: Millis = minutes(10);
/** One peer's word against others' counts when it has stood so long: a NAT that gives each flow another port is no news every time. */
const STANDS_AFTER: Millis = seconds(60);
/** Private addresses at which neighbours see us: one of each family. */
const MAX_NEARBY = 2;
/** Of 64 peers that see us by both families. */
const MAX_WORDS = 128;
const FAMILIES: readonly IpFamily[] = [4, 6];

/** One peer's word on where it sees this node, as long as that is good. */
export interface Sighting {
  readonly observer: NodeId;
  readonly seen: Endpoint;
  readonly saidAt: Millis;
}

interface Word extends Sighting {
  /** Said the same since then. */
  readonly sinceAt: Millis;
}

/** Where peers see this node's datagrams come from: its reflexive addresses. The latest word of each peer counts, of each family one. */
export class ObservedEndpoints {
  readonly #words = new BoundedMap<string, Word>(MAX_WORDS);

  /** True when it is another word than before, or has stood for long enough. */
  note(observer: NodeId, seen: Endpoint, now: Millis): boolean {
    const key = keyOf(observer, ipFamily(seen.ip));
    const before = this.#words.get(key);
    const isNew = before === undefined || !sameEndpoint(before.seen, seen);
    const word = { observer, seen, saidAt: now, sinceAt: isNew ? now : before.sinceAt };
    this.#words.set(key, word);
    return isNew || stands(word) !== stands(before);
  }

  forget(observer: NodeId): void {
    for (const family of FAMILIES) this.#words.delete(keyOf(observer, family));
  }

  /** Our own addresses changed: what was seen before is of another network. */
  clear(): void {
    this.#words.clear();
  }

  sightings(now: Millis): readonly Sighting[] {
    return [...this.#words.entries()].flatMap(([, word]) => (now - word.saidAt < GOOD_FOR ? [word] : []));
  }

  /** The latest of every peer, without repetition, as text. */
  all(): readonly string[] {
    return [...new Set([...this.#words.entries()].map(([, { seen }]) => formatEndpoint(seen)))].sort();
  }

  /**
   * Endpoints besides our own at which a NAT may let others in: those that more than one peer sees. One peer's word is enough where
   * no other says anything, and for a private address. Where no two agree on a public one, the words of those that we chose ourselves
   * count, `chosen` in order, once they have stood for STANDS_AFTER: a liar beside an honest one hides nothing, and whom he names gets
   * no more PINGs than if he had named him in his own record. Where each sees another port, our own stands for it, too: somebody may
   * have forwarded it, and who sends there opens its NAT for the address.
   */
  reflexive(own: readonly Endpoint[], now: Millis, chosen: readonly NodeId[] = []): readonly Endpoint[] {
    const seen = this.#foreign(own, now);
    const trusted = this.#trusted(seen);
    const isAgreed = trusted.some(({ ip }) => !isPrivate(ip));
    const standing = isAgreed ? [] : this.#standing(chosen, own, now);
    const varying = [...new Set(seen.map(({ ip }) => ip))].filter(
      (ip) => !trusted.some((endpoint) => endpoint.ip === ip) && seen.filter((endpoint) => endpoint.ip === ip).length > 1,
    );
    const guessed = varying.map((ip) => ({ ip, port: own[0]?.port ?? 0 })).filter(({ port }) => port > 0);
    const agreed = trusted.filter(({ ip }) => !isPrivate(ip));
    const nearby = trusted.filter(({ ip }) => isPrivate(ip)).slice(0, MAX_NEARBY);
    return distinctEndpoints([...agreed, ...standing, ...nearby, ...guessed]).slice(0, MAX_REFLEXIVE);
  }

  mapping(own: readonly Endpoint[], now: Millis): Mapping {
    if (this.#fresh(now).length === 0) return "unknown";
    if (this.#foreign(own, now).length === 0) return "none";
    // By what is seen from outside; a neighbour's word on a private address says nothing of the NAT.
    const seen = this.#foreign(own, now);
    const outside = seen.filter(({ ip }) => !isPrivate(ip));
    return this.#trusted(outside.length === 0 ? seen : outside).length === 0 ? "endpoint-dependent" : "endpoint-independent";
  }

  #standing(chosen: readonly NodeId[], own: readonly Endpoint[], now: Millis): readonly Endpoint[] {
    const hosts = new Set(own.map(({ ip }) => ip));
    return chosen.flatMap((node) =>
      FAMILIES.flatMap((family) => {
        const word = this.#words.get(keyOf(node, family));
        return word !== undefined && now - word.saidAt < GOOD_FOR && stands(word) && !hosts.has(word.seen.ip) ? [word.seen] : [];
      }),
    );
  }

  #trusted(seen: readonly Endpoint[]): readonly Endpoint[] {
    const isOnly = ({ ip }: Endpoint): boolean =>
      seen.filter((other) => !isPrivate(other.ip) && ipFamily(other.ip) === ipFamily(ip)).length === 1;
    const times = new Map<string, { readonly endpoint: Endpoint; readonly count: number }>();
    for (const endpoint of seen) {
      const text = formatEndpoint(endpoint);
      times.set(text, { endpoint, count: (times.get(text)?.count ?? 0) + 1 });
    }
    const isTrusted = (endpoint: Endpoint, count: number): boolean => count > 1 || isPrivate(endpoint.ip) || isOnly(endpoint);
    return [...times.values()].flatMap(({ endpoint, count }) => (isTrusted(endpoint, count) ? [endpoint] : []));
  }

  #fresh(now: Millis): readonly Endpoint[] {
    return this.sightings(now).map(({ seen }) => seen);
  }

  #foreign(own: readonly Endpoint[], now: Millis): readonly Endpoint[] {
    const hosts = new Set(own.map(({ ip }) => ip));
    return this.#fresh(now).filter(({ ip }) => !hosts.has(ip));
  }
}

function keyOf(observer: NodeId, family: IpFamily): string {
  return `${observer} ${family}`;
}

function stands(word: Word | undefined): boolean {
  return word !== undefined && word.saidAt - word.sinceAt >= STANDS_AFTER;
}
