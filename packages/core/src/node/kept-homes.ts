import { type Endpoint, sameEndpoint } from "../address/endpoint.ts";
import type { Way } from "../address/way.ts";
import type { Random } from "../crypto/crypto.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { PeerSlot } from "../ports/datapath.ts";
import type { Millis } from "../time/millis.ts";
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

/** How often the home relays hear from this node. The one in use before the NAT between them forgets: how soon that is, its calls back tell. */
export class KeptHomes {
  readonly #node: HomeSurroundings;
  readonly #lifetime: NatLifetime;
  /** Where the homes saw this node last. */
  #seen: ReadonlyMap<NodeId, Endpoint> = new Map();
  #standbyRemaps = 0;

  constructor(node: HomeSurroundings) {
    this.#node = node;
    this.#lifetime = new NatLifetime(node.random);
  }

  /** Those that reach this node at any time. */
  get named(): readonly NodeId[] {
    const { homes } = this.#node.rendezvous;
    return this.#isStandbyDeaf ? homes.slice(0, 1) : homes;
  }

  /** Other homes: what the last one was asked tells nothing. */
  replaced(): void {
    this.#lifetime.forgetRecall();
  }

  /** The NAT forgets before the standby is asked again. */
  get #isStandbyDeaf(): boolean {
    return this.#lifetime.isShort || this.#standbyRemaps >= REMAPS_OF_STANDBY;
  }

  /** A keepalive just left for the peer. Where it is the home in use, it may be asked to call back just before the next one. */
  asked(slot: PeerSlot, relay: NodeId, way: Way, now: Millis): readonly NodeEffect[] {
    if (!this.#isInUse(relay) || way.relay !== undefined) return [];
    if (this.#lifetime.enter(this.#node.network())) this.#standbyRemaps = 0;
    this.#lifetime.beginKeepalive(now);
    const effects = this.#keep(now);
    const every = this.#node.rendezvous.quietKeepalive;
    const recall = every === undefined ? undefined : this.#lifetime.recall(every, now);
    if (recall === undefined) return effects;
    return [...effects, ...this.#node.say(slot, way, { type: "recall", token: recall.token, afterMillis: recall.after }, now)];
  }

  /** A peer answers, and says where it sees us. */
  answered(by: NodeId, at: Endpoint, now: Millis): readonly NodeEffect[] {
    const { homes } = this.#node.rendezvous;
    if (!homes.includes(by)) return [];
    const before = this.#seen.get(by);
    this.#seen = new Map([...this.#seen, [by, at] as const].filter(([home]) => homes.includes(home)));
    const isRemapped = before?.ip === at.ip && !sameEndpoint(before, at);
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
