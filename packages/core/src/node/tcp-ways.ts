import { type Endpoint, sameEndpoint } from "../address/endpoint.ts";
import type { Random } from "../crypto/crypto.ts";
import { randomBelow } from "../crypto/random.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";

/**
 * PINGs by UDP get no answer for so long: it is taken for blocked. A connection too many costs little: it is left when UDP answers.
 * Less, in round trips of the slowest, where all that were asked had answered before.
 */
export const BLOCKED_AFTER: Millis = seconds(1);
const BLOCKED_AFTER_LEAST: Millis = 400;
const BLOCKED_AFTER_ROUND_TRIPS = 8;
/** After this share of it the rest of the targets is asked, so that one dead member does not speak for all. */
const OTHERS_ASKED_AFTER = 0.3;
/** Members that must be silent, or all there are. */
export const MIN_TARGETS = 3;
/** Connections at a time: the one in use and a standby. */
export const MAX_TCP_WAYS = 2;
/** While TCP is in use, UDP is tried again so long after, then each … */
export const FIRST_RETEST_AFTER: Millis = seconds(60);
/** … of these; and at once when this host's addresses changed. */
export const RETEST_INTERVAL: Millis = minutes(10);
/** PINGs of one retest: any may get lost. */
const RETEST_PINGS: readonly Millis[] = [0, 500, 1_500];
/** UDP answers again: connections are kept for so long, in case it is not for good. */
export const LEFT_AFTER: Millis = seconds(30);
/** After a failure; the last one repeats. A member that restarts is back within a second or two, and one that was rebooted within 30 s. */
export const TCP_RETRY_INTERVALS: readonly Millis[] = [1, 2, 5, 5, 10, 20, 40, 60].map(seconds);
/** A connection that lasted so long was a good one: when it breaks, the next attempt comes at once. */
const LASTING_AFTER: Millis = seconds(10);
/** The end of a connection that answers nothing is told before the next one is asked for. */
const LOST_PAUSE: Millis = 500;

export type TcpWaysStep =
  | { readonly type: "open"; readonly node: NodeId; readonly endpoints: readonly Endpoint[] }
  | { readonly type: "close"; readonly node: NodeId }
  /** PINGs by UDP to all endpoints of these. */
  | { readonly type: "ask"; readonly nodes: readonly NodeId[] };

interface Member {
  /** Where it takes TLS WebSocket, last it said so; empty: it does not. */
  endpoints: readonly Endpoint[];
  /** Its answer says that UDP passes: it relays, or takes TCP. Not those who have said goodbye. */
  isTarget: boolean;
  /** It leads to others, too. */
  isRelay: boolean;
  /** Among members of which nothing more is known, chance decides: not everybody goes to the same one. */
  readonly draw: number;
  failures: number;
  retryAt: Millis;
}

/** Loopback endpoints that lead to a member: for the engine's datagrams, and to dial its control link at. */
export interface TcpWay {
  readonly endpoint: Endpoint;
  readonly stream: Endpoint;
}

interface OpenWay extends TcpWay {
  readonly openedAt: Millis;
}

/**
 * Whether UDP is blocked, and the members that are reached by TCP then.
 *
 *   udp  --asked, and no target answers for BLOCKED_AFTER--> tcp: connections to MAX_TCP_WAYS members that offer it
 *   udp  --no control link, and every target has said goodbye--> tcp
 *   tcp  --FIRST_RETEST_AFTER, then each RETEST_INTERVAL, or this host's addresses changed--> targets are asked by UDP
 *   tcp  --a target answers by UDP--> leaving
 *   leaving  --silent for BLOCKED_AFTER--> tcp
 *   leaving  --LEFT_AFTER--> udp: connections are closed
 *
 * Pure: time comes in, steps go out.
 */
export class TcpWays {
  readonly #random: Random;
  /** Round trip as last known; undefined: never measured. */
  readonly #rttOf: (node: NodeId) => Millis | undefined;
  readonly #members = new Map<NodeId, Member>();
  /** Of these, those that take TCP, or did: few of many. */
  readonly #offering = new Map<NodeId, Member>();
  readonly #ways = new Map<NodeId, "opening" | OpenWay>();
  /** The first PING to a target since one answered last, and to whom PINGs went since. */
  #unansweredAt: Millis | undefined;
  readonly #asked = new Set<NodeId>();
  /** Those that nobody else had asked were asked. */
  #areOthersAsked = false;
  #isBlocked = false;
  /** When this host's addresses changed last: what was open then leads nowhere, and that is nobody's failure. */
  #movedAt: Millis = Number.NEGATIVE_INFINITY;
  #retests: readonly Millis[] = [];
  #leaveAt: Millis | undefined;

  constructor(random: Random, rttOf: (node: NodeId) => Millis | undefined) {
    this.#random = random;
    this.#rttOf = rttOf;
  }

  /** What a member's record says. One that offers nothing any more keeps a connection that there is. */
  published(node: NodeId, said: { readonly endpoints: readonly Endpoint[]; readonly isRelay: boolean }): void {
    const { endpoints } = said;
    const known = this.#members.get(node) ?? { draw: randomBelow(this.#random, 65_536), failures: 0, retryAt: 0 };
    const member: Member = { ...known, endpoints, isRelay: said.isRelay, isTarget: said.isRelay || endpoints.length > 0 };
    this.#members.set(node, member);
    if (endpoints.length > 0) this.#offering.set(node, member);
    else this.#offering.delete(node);
  }

  /** It said goodbye. When it comes back, nobody may be left to say so: where it was is still tried. */
  stopped(node: NodeId): void {
    const member = this.#members.get(node);
    if (member !== undefined) member.isTarget = false;
  }

  /** Not a member any more. */
  remove(node: NodeId): readonly TcpWaysStep[] {
    this.#members.delete(node);
    this.#offering.delete(node);
    return this.#ways.delete(node) ? [{ type: "close", node }] : [];
  }

  /** A PING left by UDP. */
  asked(node: NodeId, now: Millis): void {
    if (this.#members.get(node)?.isTarget !== true) return;
    this.#unansweredAt ??= now;
    this.#asked.add(node);
  }

  /** An answer came by UDP. */
  answered(node: NodeId, now: Millis): void {
    if (this.#members.get(node)?.isTarget !== true) return;
    this.#heard();
    if (this.#isBlocked) this.#leaveAt ??= now + LEFT_AFTER;
  }

  /** This host is elsewhere now: what was known of its network is void. */
  networkChanged(now: Millis): void {
    this.#heard();
    this.#movedAt = now;
    for (const member of this.#members.values()) Object.assign(member, { failures: 0, retryAt: 0 });
    if (this.#isBlocked) this.#retestAt(now);
  }

  /** No control link is left. Where nobody is left to ask by UDP either, those that took TCP once may be back: nobody would say so. */
  cutOff(now: Millis): void {
    if (this.#isBlocked || this.#targets().length > 0) return;
    this.#isBlocked = true;
    this.#retests = [now + FIRST_RETEST_AFTER];
  }

  /** The connection asked for by `open` is there. */
  opened(node: NodeId, way: TcpWay, now: Millis): void {
    if (this.#ways.has(node)) this.#ways.set(node, { ...way, openedAt: now });
  }

  /** It is there, and yet nothing comes by it: its other end may be gone without a word. */
  lost(node: NodeId, now: Millis): readonly TcpWaysStep[] {
    if (this.wayTo(node) === undefined) return [];
    this.closed(node, now);
    const member = this.#members.get(node);
    if (member !== undefined) member.retryAt += LOST_PAUSE;
    return [{ type: "close", node }];
  }

  /** It could not be made, or broke. */
  closed(node: NodeId, now: Millis): void {
    const way = this.#ways.get(node);
    const member = this.#members.get(node);
    this.#ways.delete(node);
    if (way === undefined || member === undefined) return;
    const isGood = way !== "opening" && (way.openedAt < this.#movedAt || now - way.openedAt >= LASTING_AFTER);
    member.failures = isGood ? 0 : member.failures + 1;
    member.retryAt = isGood ? now : now + (TCP_RETRY_INTERVALS[Math.min(member.failures, TCP_RETRY_INTERVALS.length) - 1] ?? 0);
  }

  /** UDP gets no answer, as far as is known. */
  get isBlocked(): boolean {
    return this.#isBlocked && this.#leaveAt === undefined;
  }

  /** Some member takes TCP. */
  get isOffered(): boolean {
    return this.#offering.size > 0;
  }

  /** The open way to the member. */
  wayTo(node: NodeId): TcpWay | undefined {
    const way = this.#ways.get(node);
    return way === "opening" ? undefined : way;
  }

  /** Does an open way begin there? */
  isWay(endpoint: Endpoint): boolean {
    return [...this.#ways.values()].some((way) => way !== "opening" && sameEndpoint(way.endpoint, endpoint));
  }

  wakeAt(): Millis | undefined {
    const { blockedAt, othersAt } = this.#silence();
    const isWaiting = !this.#isBlocked || this.#leaveAt !== undefined;
    const retries = this.#isBlocked && this.#ways.size < MAX_TCP_WAYS ? this.#candidates().map(([, { retryAt }]) => retryAt) : [];
    return earliest(isWaiting ? blockedAt : undefined, othersAt, this.#leaveAt, this.#retests[0], ...retries);
  }

  /** What is due. */
  due(now: Millis): readonly TcpWaysStep[] {
    const steps: TcpWaysStep[] = [];
    const { blockedAt, othersAt } = this.#silence();
    if (othersAt !== undefined && now >= othersAt) {
      this.#areOthersAsked = true;
      const others = this.#targets().filter((node) => !this.#asked.has(node));
      const nodes = others.slice(0, Math.max(0, MIN_TARGETS - this.#asked.size));
      if (nodes.length > 0) steps.push({ type: "ask", nodes });
    }
    if (blockedAt !== undefined && now >= blockedAt) {
      this.#leaveAt = undefined;
      if (!this.#isBlocked) this.#retests = [now + FIRST_RETEST_AFTER];
      this.#isBlocked = true;
    }
    if (this.#leaveAt !== undefined && now >= this.#leaveAt) return [...steps, ...this.#leave()];
    if (this.#isBlocked) steps.push(...this.#retest(now), ...this.#open(now));
    return steps;
  }

  #open(now: Millis): readonly TcpWaysStep[] {
    const free = MAX_TCP_WAYS - this.#ways.size;
    const due = this.#candidates().filter(([, { retryAt }]) => retryAt <= now);
    return due.slice(0, free).map(([node, { endpoints }]) => {
      this.#ways.set(node, "opening");
      return { type: "open", node, endpoints };
    });
  }

  #leave(): readonly TcpWaysStep[] {
    const nodes = [...this.#ways.keys()];
    this.#ways.clear();
    this.#isBlocked = false;
    this.#leaveAt = undefined;
    this.#retests = [];
    return nodes.map((node) => ({ type: "close", node }));
  }

  #retest(now: Millis): readonly TcpWaysStep[] {
    const due = this.#retests.filter((at) => at <= now);
    if (due.length === 0) return [];
    this.#retests = this.#retests.filter((at) => at > now);
    if (this.#retests.length === 0) this.#retestAt(now, RETEST_PINGS.slice(1));
    const targets = this.#targets();
    const used = targets.filter((node) => this.#ways.has(node));
    return [{ type: "ask", nodes: [...new Set([...used, ...targets])].slice(0, MIN_TARGETS) }];
  }

  #retestAt(now: Millis, pings: readonly Millis[] = RETEST_PINGS): void {
    this.#retests = [...pings.map((after) => now + after), now + RETEST_INTERVAL];
  }

  #heard(): void {
    this.#unansweredAt = undefined;
    this.#areOthersAsked = false;
    this.#asked.clear();
  }

  /** When UDP is to be taken for blocked, and before it when the targets that nobody asked are. */
  #silence(): { readonly blockedAt: Millis | undefined; readonly othersAt: Millis | undefined } {
    const since = this.#unansweredAt;
    if (since === undefined) return { blockedAt: undefined, othersAt: undefined };
    const patience = this.#patience();
    return { blockedAt: since + patience, othersAt: this.#areOthersAsked ? undefined : since + Math.ceil(patience * OTHERS_ASKED_AFTER) };
  }

  #patience(): Millis {
    const slowest = Math.max(...[...this.#asked].map((node) => this.#rttOf(node) ?? Number.POSITIVE_INFINITY));
    return Math.min(BLOCKED_AFTER, Math.max(BLOCKED_AFTER_LEAST, Math.ceil(slowest * BLOCKED_AFTER_ROUND_TRIPS)));
  }

  #targets(): readonly NodeId[] {
    return [...this.#members].flatMap(([node, { isTarget }]) => (isTarget ? [node] : []));
  }

  /** Members to connect to, those that lead to others first, then those that are there, then the nearest. */
  #candidates(): readonly (readonly [NodeId, Member])[] {
    const order = ([node, { isRelay, isTarget, failures, draw }]: readonly [NodeId, Member]): readonly number[] => [
      isRelay ? 0 : 1,
      isTarget ? 0 : 1,
      Math.min(failures, 1),
      this.#rttOf(node) ?? Number.MAX_VALUE,
      draw,
    ];
    return [...this.#offering]
      .filter(([node]) => !this.#ways.has(node))
      .map((member) => ({ member, key: order(member) }))
      .sort((a, b) => a.key.map((part, i) => part - (b.key[i] ?? 0)).find((difference) => difference !== 0) ?? 0)
      .map(({ member }) => member);
  }
}
