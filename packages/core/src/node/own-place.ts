import { type Endpoint, sameEndpoint } from "../address/endpoint.ts";
import { type Ip, ipFamily } from "../address/ip.ts";
import type { NodeId } from "../ids/node-id.ts";
import { MAX_REFLEXIVE } from "../records/endpoint-record.ts";
import type { Millis } from "../time/millis.ts";
import type { Mapping } from "../wire/probe.ts";
import { ObservedEndpoints, type Sighting } from "./observed-endpoints.ts";
import { Unasked } from "./unasked.ts";

/** Of the reflexive endpoints: one for each family of addresses is what routers have to give. */
const MAX_MAPPED = MAX_REFLEXIVE / 2;

/** Where this node is: by its own addresses, by what peers see and routers say; and whether others come in unasked. */
export class OwnPlace {
  /** Where this host can be found by its own addresses. */
  readonly own: () => readonly Endpoint[];
  /** Where routers let others in, by their word. */
  readonly #mapped: () => readonly Endpoint[];
  /** The members that this node chose to be reached by. */
  readonly #homes: () => readonly NodeId[];
  readonly #observed = new ObservedEndpoints();
  readonly #unasked = new Unasked();
  #hasMoved = false;

  constructor(options: {
    readonly own: () => readonly Endpoint[];
    readonly mapped: () => readonly Endpoint[];
    readonly homes: () => readonly NodeId[];
  }) {
    this.own = options.own;
    this.#mapped = options.mapped;
    this.#homes = options.homes;
  }

  get isReachable(): boolean {
    return this.#unasked.isReachable;
  }

  /** Proven by an earlier run. */
  assumeReachable(): void {
    this.#unasked.assume();
  }

  /** What tells the network that the host is in from others: its IPv4 addresses, if it has any. Those of IPv6 change by the day, and NATs are rare there. */
  network(): string {
    const ips = [...new Set(this.own().map(({ ip }) => ip))];
    const v4 = ips.filter((ip) => ipFamily(ip) === 4);
    return (v4.length > 0 ? v4 : ips).sort().join();
  }

  mapping(now: Millis): Mapping {
    return this.#observed.mapping(this.own(), now);
  }

  /**
   * Where a NAT lets others in. A router that maps knows its own port; but its word may be wrong or outdated, so that it takes no more
   * than half of the room from what peers see, and such a place is knocked at as carefully as any NAT.
   */
  reflexive(now: Millis): readonly Endpoint[] {
    const mapped = this.#mapped().slice(0, MAX_MAPPED);
    const seen = this.#observed
      .reflexive(this.own(), now, this.#homes())
      .filter((endpoint) => !mapped.some((one) => sameEndpoint(one, endpoint)));
    return [...mapped, ...seen].slice(0, MAX_REFLEXIVE);
  }

  /** Where peers saw us, without repetition, as text. */
  observed(): readonly string[] {
    return this.#observed.all();
  }

  sightings(now: Millis): readonly Sighting[] {
    return this.#observed.sightings(now);
  }

  /** A peer says where it saw us. True when that is news. */
  seen(observer: NodeId, at: Endpoint, now: Millis): boolean {
    const isNews = this.#observed.note(observer, at, now);
    this.#hasMoved ||= isNews;
    return isNews;
  }

  forget(observer: NodeId): void {
    this.#observed.forget(observer);
  }

  sentTo(ip: Ip, now: Millis): void {
    this.#unasked.sent(ip, now);
  }

  /** An authentic PING came straight from there, and nothing was sent back yet. True when it is the first proof that others come in unasked. */
  heardUnasked(from: Ip, now: Millis): boolean {
    const isProof = this.#unasked.heard(from, now);
    this.#hasMoved ||= isProof;
    return isProof;
  }

  /** What was seen before is of another network. */
  networkChanged(): void {
    this.#observed.clear();
    this.#unasked.moved(this.own());
    this.#hasMoved = true;
  }

  /** By other members than before. */
  homesChanged(): void {
    this.#hasMoved = true;
  }

  /** Whether others should be told something else than when this was asked last. */
  takeMoved(): boolean {
    const hasMoved = this.#hasMoved;
    this.#hasMoved = false;
    return hasMoved;
  }
}
