import { type Endpoint, sameEndpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { formatHex } from "../bytes/hex.ts";
import type { Crypto } from "../crypto/crypto.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { ControlEvent, ControlQueries, JoinId } from "../ports/control-plane.ts";
import { neighbourLongestAgo } from "../records/sync-turn.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimClock } from "./sim-clock.ts";
import type { SimNetwork } from "./sim-network.ts";
import type { SimSite } from "./sim-site.ts";

/** One node as the simulated control plane sees it. */
export interface SimControlMember {
  readonly name: string;
  readonly id: NodeId;
  /** Of its moment: a member may move. */
  readonly endpoint: Endpoint; // TCP
  readonly site: SimSite | undefined;
  readonly queries: ControlQueries;
  dispatch(event: ControlEvent): void;
}

const SYNC_INTERVAL: Millis = minutes(1);
const REDIAL_INTERVAL: Millis = seconds(5);
/** A link over a cut is noticed after this long, as libp2p's ping does. */
const DEAD_LINK_AFTER: Millis = seconds(12);
/** When its host's network has changed, a node asks its links. */
const CHECKED_LINK_AFTER: Millis = 250;

/** Where both ends were when it was made: a TCP connection does not outlive either address. */
interface Link {
  readonly dialler: SimControlMember;
  readonly target: SimControlMember;
  readonly from: Ip;
  readonly seenAs: Ip;
  readonly to: Ip;
}

/** Links, gossip, sync and join exchanges between simulated nodes: what libp2p does for real ones, by the same queries. */
export class SimControl {
  readonly #clock: SimClock;
  readonly #random: SeededRandom;
  readonly #network: SimNetwork;
  readonly #crypto: Crypto;
  readonly #members = new Map<NodeId, SimControlMember>();
  readonly #wanted = new Map<NodeId, Map<NodeId, readonly Endpoint[]>>();
  readonly #links = new Map<string, Link>();
  readonly #comparedAt = new Map<string, Millis>();
  readonly #heard = new Map<NodeId, Set<string>>();
  #lastJoin = 0;
  readonly #joins = new Map<string, (response: Uint8Array | undefined) => void>();

  constructor(options: { readonly clock: SimClock; readonly random: SeededRandom; readonly network: SimNetwork; readonly crypto: Crypto }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#network = options.network;
    this.#crypto = options.crypto;
  }

  add(member: SimControlMember): void {
    this.#members.set(member.id, member);
    this.#wanted.set(member.id, new Map());
    this.#heard.set(member.id, new Set());
    this.#every(SYNC_INTERVAL, member, () => this.#syncWithNeighbour(member));
    this.#every(REDIAL_INTERVAL, member, () => this.#redial(member));
  }

  /** The process is gone: its links break at once, as TCP's do. */
  remove(id: NodeId): void {
    this.#members.delete(id);
    for (const link of [...this.#links.keys()]) if (link.includes(id)) this.#unlink(link);
  }

  /** The node's host has noticed a change: links that it broke are found dead soon, and dialled again. */
  networkChanged(id: NodeId): void {
    this.#clock.at(this.#clock.now() + CHECKED_LINK_AFTER, () => {
      for (const link of [...this.#links.keys()]) if (link.includes(id) && this.#isDead(link)) this.#unlink(link);
      for (const to of this.#wanted.get(id)?.keys() ?? []) this.#dial(id, to);
    });
  }

  connect(from: NodeId, to: NodeId, endpoints: readonly Endpoint[]): void {
    this.#wanted.get(from)?.set(to, endpoints);
    this.#dial(from, to);
  }

  disconnect(from: NodeId, to: NodeId): void {
    this.#wanted.get(from)?.delete(to);
    this.#unlink(linkOf(from, to));
  }

  /** Members linked to this one now. */
  linksOf(id: NodeId): number {
    return this.#neighbours(id).length;
  }

  publish(from: NodeId, record: Uint8Array): void {
    this.#heard.get(from)?.add(formatHex(this.#crypto.sha256(record)));
    this.#spread(from, record);
  }

  /** A stranger asks a member, as askToJoin does; `answer` gets the response, or undefined when nobody answers. */
  ask(member: NodeId, request: Uint8Array, answer: (response: Uint8Array | undefined) => void): void {
    const id = ++this.#lastJoin;
    this.#joins.set(`${member} ${id}`, answer);
    this.#later(() => this.#members.get(member)?.dispatch({ type: "join-request", id, request }));
  }

  answerJoin(from: NodeId, id: JoinId, response: Uint8Array): void {
    const answer = this.#joins.get(`${from} ${id}`);
    this.#joins.delete(`${from} ${id}`);
    if (answer !== undefined) this.#later(() => answer(response));
  }

  carryJoin(from: NodeId, options: { readonly id: JoinId; readonly issuer: NodeId; readonly request: Uint8Array }): void {
    const { id, issuer, request } = options;
    const back = ++this.#lastJoin;
    const done = (response: Uint8Array | undefined): void => this.#members.get(from)?.dispatch({ type: "join-carried", id, response });
    if (!this.#isUp(from, issuer)) return this.#later(() => done(undefined));
    this.#joins.set(`${issuer} ${back}`, done);
    this.#later(() => this.#members.get(issuer)?.dispatch({ type: "join-request", id: back, request, carriedBy: from }));
  }

  #every(interval: Millis, member: SimControlMember, act: () => void): void {
    const again = (): void => {
      if (this.#members.get(member.id) !== member) return;
      act();
      this.#clock.at(this.#clock.now() + interval * (0.9 + this.#random.next() * 0.2), again);
    };
    this.#clock.at(this.#clock.now() + this.#random.next() * interval, again);
  }

  #later(act: () => void): void {
    this.#clock.at(this.#clock.now() + this.#network.quality.latency + this.#random.next() * this.#network.quality.jitter, act);
  }

  #redial(member: SimControlMember): void {
    for (const link of [...this.#links.keys()])
      if (link.includes(member.id) && this.#isDead(link))
        this.#clock.at(this.#clock.now() + DEAD_LINK_AFTER, () => this.#isDead(link) && this.#unlink(link));
    for (const to of this.#wanted.get(member.id)?.keys() ?? []) this.#dial(member.id, to);
  }

  #dial(from: NodeId, to: NodeId): void {
    const dialler = this.#members.get(from);
    const target = this.#members.get(to);
    const link = linkOf(from, to);
    if (dialler === undefined || target === undefined || this.#links.has(link) || this.#network.isCut(dialler.name, target.name)) return;
    const isReachable =
      this.#wanted
        .get(from)
        ?.get(to)
        ?.some((endpoint) => sameEndpoint(endpoint, target.endpoint)) ?? false;
    if (!isReachable || !this.#network.canDial(target.endpoint, { from: dialler.site, to: target.site })) return;
    if (dialler.queries.isRemoved(to) || target.queries.isRemoved(from)) return;
    if (target.queries.refuseMember(from, dialler.queries.credentials()) !== undefined) return;
    if (dialler.queries.refuseMember(to, target.queries.credentials()) !== undefined) return;
    const seenAs = this.#seenAs(dialler, target);
    this.#links.set(link, { dialler, target, from: dialler.endpoint.ip, seenAs, to: target.endpoint.ip });
    this.#later(() => {
      if (!this.#links.has(link)) return;
      for (const [here, there, remote] of [
        [dialler, target, target.endpoint],
        [target, dialler, { ip: seenAs, port: dialler.endpoint.port }],
      ] as const) {
        here.dispatch({ type: "records", from: there.id, via: "sync", records: [there.queries.credentials()] });
        here.dispatch({ type: "link-up", node: there.id, remote });
      }
      this.#sync(dialler, target);
    });
  }

  #unlink(link: string): void {
    if (!this.#links.delete(link)) return;
    const [a, b] = link.split(" ") as [NodeId, NodeId];
    this.#members.get(a)?.dispatch({ type: "link-down", node: b });
    this.#members.get(b)?.dispatch({ type: "link-down", node: a });
  }

  #seenAs(dialler: SimControlMember, target: SimControlMember): Ip {
    return this.#network.seenAs(dialler.endpoint.ip, { from: dialler.site, to: target.site, remote: target.endpoint.ip });
  }

  /** Nothing passes over it any more, and nobody has noticed. */
  #isDead(name: string): boolean {
    const link = this.#links.get(name);
    if (link === undefined) return false;
    const { dialler, target, from, seenAs, to } = link;
    if (this.#network.isCut(dialler.name, target.name)) return true;
    return dialler.endpoint.ip !== from || target.endpoint.ip !== to || this.#seenAs(dialler, target) !== seenAs;
  }

  #isUp(a: NodeId, b: NodeId): boolean {
    const link = linkOf(a, b);
    return this.#members.has(a) && this.#members.has(b) && this.#links.has(link) && !this.#isDead(link);
  }

  #neighbours(id: NodeId): readonly SimControlMember[] {
    return [...this.#members.values()].filter((member) => member.id !== id && this.#isUp(id, member.id));
  }

  #spread(from: NodeId, record: Uint8Array): void {
    const key = formatHex(this.#crypto.sha256(record));
    for (const neighbour of this.#neighbours(from)) {
      this.#later(() => {
        const heard = this.#heard.get(neighbour.id);
        if (!this.#isUp(from, neighbour.id) || heard === undefined || heard.has(key)) return;
        if (this.#random.next() < this.#network.quality.loss) return;
        heard.add(key);
        if (neighbour.queries.judgeRecord(record) !== "accept") return;
        neighbour.dispatch({ type: "records", from, via: "gossip", records: [record] });
        this.#spread(neighbour.id, record);
      });
    }
  }

  #syncWithNeighbour(member: SimControlMember): void {
    const neighbour = neighbourLongestAgo(this.#neighbours(member.id), ({ id }) => this.#comparedAt.get(linkOf(member.id, id)));
    if (neighbour !== undefined) this.#sync(member, neighbour);
  }

  /** Anti-entropy in one step; the real exchange takes up to four rounds (agent/control/record-sync). */
  #sync(a: SimControlMember, b: SimControlMember): void {
    this.#comparedAt.set(linkOf(a.id, b.id), this.#clock.now());
    this.#later(() => {
      if (!this.#isUp(a.id, b.id)) return;
      const [ours, theirs] = [a.queries.digest, b.queries.digest];
      if (formatHex(ours.root()) === formatHex(theirs.root())) return;
      const [mine, other] = [ours.buckets(), theirs.buckets()];
      const differing = Array.from({ length: 256 }, (_, i) => i).filter(
        (i) => formatHex(mine.subarray(i * 16, i * 16 + 16)) !== formatHex(other.subarray(i * 16, i * 16 + 16)),
      );
      const toB = ours.missingFrom(differing, theirs.summary(differing));
      const toA = theirs.missingFrom(differing, ours.summary(differing));
      if (toB.length > 0) b.dispatch({ type: "records", from: a.id, via: "sync", records: toB });
      if (toA.length > 0) a.dispatch({ type: "records", from: b.id, via: "sync", records: toA });
    });
  }
}

function linkOf(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
