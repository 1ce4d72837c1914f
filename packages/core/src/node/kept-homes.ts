import { type Endpoint, sameEndpoint } from "../address/endpoint.ts";
import type { Way } from "../address/way.ts";
import type { Random } from "../crypto/crypto.ts";
import type { NodeId } from "../ids/node-id.ts";
import { isTcpEndpoint } from "../path/candidate.ts";
import type { PeerSlot } from "../ports/datapath.ts";
import { type Millis, seconds } from "../time/millis.ts";
import type { ProbeBody } from "../wire/probe.ts";
import { DEAF_STANDBY_KEEPALIVE, STANDBY_KEEPALIVE } from "./home-relays.ts";
import { NatLifetime } from "./nat-lifetime.ts";
import type { NodeEffect } from "./node-effect.ts";
import type { Rendezvous } from "./rendezvous.ts";

interface HomeSurroundings {
  readonly random: Random;
  readonly rendezvous: Rendezvous;
  /** What tells the host's network from others: its own addresses. */
  network(): string;
  /** The member should hear from us every {@link Rendezvous.keepaliveOf}. */
  keepalive(relay: NodeId, now: Millis): readonly NodeEffect[];
  /** A probe that nobody answers as such. */
  say(slot: PeerSlot, way: Way, body: Extract<ProbeBody, { type: "recall" }>, now: Millis): readonly NodeEffect[];
  /** Which homes others should be told is another question now. */
  homesChanged(): void;
}

/** The standby saw another port so often in a row: the NAT is no longer open to it when it is asked again. A NAT that starts anew is so once. */
const REMAPS_OF_STANDBY = 2;
/** A home that heard nothing for so much longer than it should: the host slept, and its NAT was told nothing by anybody. */
const SLEPT_AFTER: Millis = seconds(5);

/** Where a home, asked there, saw this node last. */
interface Seen {
  readonly from: Endpoint;
  readonly at: Endpoint;
  readonly since: Millis;
}

/** How often the home relays hear from this node. The one in use before the NAT between them forgets: how soon that is, its calls back tell. */
export class KeptHomes {
  readonly #node: HomeSurroundings;
  readonly #lifetime: NatLifetime;
  #seen: ReadonlyMap<NodeId, Seen> = new Map();
  #standbyRemaps = 0;
  /** Of whom the above tells. */
  #known: { readonly used: NodeId | undefined; readonly standby: NodeId | undefined } = { used: undefined, standby: undefined };

  constructor(node: HomeSurroundings) {
    this.#node = node;
    this.#lifetime = new NatLifetime(node.random);
  }

  /** Those that reach this node at any time. */
  get named(): readonly NodeId[] {
    const { homes } = this.#node.rendezvous;
    return this.#isStandbyDeaf ? homes.slice(0, 1) : homes;
  }

  /** Other homes: what the last ones were asked tells nothing. */
  replaced(): void {
    const [used, standby] = this.#node.rendezvous.homes;
    if (used !== this.#known.used) this.#lifetime.homeReplaced();
    if (standby !== this.#known.standby) this.#standbyRemaps = 0;
    this.#known = { used, standby };
  }

  /** The NAT forgets before the standby is asked again. */
  get #isStandbyDeaf(): boolean {
    return this.#lifetime.isShort || this.#standbyRemaps >= REMAPS_OF_STANDBY;
  }

  /** A keepalive just left for the peer. Where it is the home in use, it may be asked to call back just before the next one. */
  asked(slot: PeerSlot, relay: NodeId, way: Way, now: Millis): readonly NodeEffect[] {
    if (!this.#isInUse(relay) || way.relay !== undefined || isTcpEndpoint(way.endpoint)) return [];
    if (this.#lifetime.enter(this.#node.network())) this.#standbyRemaps = 0;
    this.#lifetime.beginKeepalive(now);
    const effects = this.#keep(now);
    const every = this.#node.rendezvous.quietKeepalive;
    const recall = every === undefined ? undefined : this.#lifetime.recall(every, now);
    if (recall === undefined) return effects;
    const { token, after: afterMillis, copies } = recall;
    const said = Array.from({ length: copies }, () => this.#node.say(slot, way, { type: "recall", token, afterMillis }, now));
    return [...effects, ...said.flat()];
  }

  /** A peer answers from there, and says where it sees us. */
  answered(by: NodeId, { from, at }: { readonly from: Endpoint; readonly at: Endpoint }, now: Millis): readonly NodeEffect[] {
    const { homes } = this.#node.rendezvous;
    if (!homes.includes(by)) return [];
    const before = this.#seen.get(by);
    this.#seen = new Map([...this.#seen, [by, { from, at, since: now }] as const].filter(([home]) => homes.includes(home)));
    const isRemapped = before !== undefined && this.#tells(by, before, { from, now }) && isOtherPort(before.at, at);
    if (!this.#isInUse(by)) this.#standbyRemaps = isRemapped ? this.#standbyRemaps + 1 : 0;
    else if (isRemapped) this.#lifetime.remapped(now);
    else this.#lifetime.answered(now);
    return this.#keep(now);
  }

  /** A peer called back. */
  recalled(by: NodeId, token: Uint8Array, now: Millis): readonly NodeEffect[] {
    if (!this.#isInUse(by)) return [];
    this.#lifetime.recalled(token, now);
    return this.#keep(now);
  }

  /** From another place of its own, or after a sleep, it may see another port of any NAT. */
  #tells(home: NodeId, before: Seen, { from, now }: { readonly from: Endpoint; readonly now: Millis }): boolean {
    const every = this.#node.rendezvous.keepaliveOf(home) ?? 0;
    return sameEndpoint(before.from, from) && now < before.since + every + SLEPT_AFTER;
  }

  #isInUse(node: NodeId): boolean {
    return this.#node.rendezvous.homes[0] === node;
  }

  /** The lifetime may be another one than was thought. */
  #keep(now: Millis): readonly NodeEffect[] {
    const changed = this.#node.rendezvous.keep([
      this.#lifetime.keepalive,
      this.#isStandbyDeaf ? DEAF_STANDBY_KEEPALIVE : STANDBY_KEEPALIVE,
    ]);
    if (changed.length > 0) this.#node.homesChanged();
    return changed.flatMap((relay) => this.#node.keepalive(relay, now));
  }
}

function isOtherPort(before: Endpoint, at: Endpoint): boolean {
  return before.ip === at.ip && before.port !== at.port;
}
