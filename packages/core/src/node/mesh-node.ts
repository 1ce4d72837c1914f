import type { Endpoint } from "../address/endpoint.ts";
import type { NetcheckView } from "../api/netcheck-view.ts";
import type { RoutesView, StatusView } from "../api/views.ts";
import type { WhyView } from "../api/why-view.ts";
import type { Crypto, Random, SigningKey } from "../crypto/crypto.ts";
import { networkId } from "../ids/network-id.ts";
import { type NodeId, nodeId, shortId } from "../ids/node-id.ts";
import type { InviteMember } from "../membership/invite.ts";
import type { Member } from "../membership/membership.ts";
import { BLAMELESS, RecordBook } from "../membership/record-book.ts";
import { Trust } from "../membership/trust.ts";
import { isUsableCandidate } from "../path/candidate.ts";
import type { ControlEvent, ControlQueries } from "../ports/control-plane.ts";
import type { HostView } from "../ports/host-network.ts";
import type { EndpointRecord } from "../records/endpoint-record.ts";
import { RecordOpener, type SignedRecord } from "../records/record.ts";
import { RecordSet } from "../records/record-set.ts";
import { compileTable } from "../routing/compile-table.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import { AdmissionDesk } from "./admission-desk.ts";
import { hostCollision } from "./choose-prefix.ts";
import { CommandDesk } from "./command-desk.ts";
import { Counters } from "./counters.ts";
import { DurableWrites, UNAWAITED } from "./durable-writes.ts";
import { Farewell } from "./farewell.ts";
import { linkOf } from "./link-of.ts";
import { LinkTargets } from "./link-targets.ts";
import { netcheckView } from "./netcheck-view.ts";
import { log, type NodeEffect } from "./node-effect.ts";
import type { NodeEvent } from "./node-event.ts";
import { CutOff, linksThroughTunnel } from "./overlay-links.ts";
import { OwnRecord } from "./own-record.ts";
import { Peers } from "./peers.ts";
import { encodeRecords, type NodeSnapshot } from "./snapshot.ts";
import { inviteMembers, tcpRelayEndpoints } from "./tcp-offer.ts";
import { type NodeDevice, routesView, statusView, type ViewParts, type ViewSources } from "./views.ts";
import { whyView } from "./why-view.ts";

export interface MeshNodeOptions {
  readonly crypto: Crypto;
  readonly random: Random;
  readonly key: SigningKey;
  /** The network's root key, where this node holds it. */
  readonly root?: SigningKey;
  /** With the UDP port as it is now; the TCP port comes with `started`. */
  readonly snapshot: NodeSnapshot;
  /** What the store's `records` document held. */
  readonly records: readonly Uint8Array[];
  readonly device: NodeDevice;
  readonly host: HostView;
}

/** Records that changed are written this much later, so that a burst is one write. They can be had again from any member. */
const RECORDS_WRITE_DELAY: Millis = seconds(2);

const BYTES_PER_MBIT = 125_000;

/** Peers asked at the start; in a larger mesh control links and traffic tell soon enough who is there. */
const MOST_GREETED = 64;

/** Records learned by sync are gossiped on when they are few: news reach those we are linked to without waiting for their sync. */
const MAX_FORWARDED = 16;

/**
 * The whole node. Deterministic: events and `now` in, effects and the next wake-up out; no clock, socket, file or chance
 * of its own. Effects are to be performed in order. See ARCHITECTURE.md for the ways through it.
 */
export class MeshNode {
  readonly id: NodeId;
  readonly trust: Trust;
  readonly #crypto: Crypto;
  readonly #key: SigningKey;
  readonly #root: SigningKey | undefined;
  readonly #device: NodeDevice;
  readonly #counters = new Counters();
  readonly #book: RecordBook;
  readonly #peers: Peers;
  readonly #desk: AdmissionDesk;
  readonly #commands: CommandDesk;
  readonly #cutOff = new CutOff();
  readonly #farewell: Farewell;
  readonly #ownRecord: OwnRecord;
  readonly #links = new Map<NodeId, Endpoint>();
  #snapshot: NodeSnapshot;
  /** Decided at the start: a route that appears later must not take the mesh's IPv4 away and send its packets out in clear. */
  readonly #isIpv4Usable: boolean;
  /** The number whose addresses the tunnel was last planned with. */
  #linkedNumber: number | undefined;
  #wallOffset: Millis = 0;
  #now: Millis = 0;
  #startedWallAt: Millis = 0;
  readonly #writes = new DurableWrites();
  #recordsWriteAt: Millis | undefined;
  readonly #targets = new LinkTargets((node) => this.#peers.tcpStreamOf(node));

  constructor(options: MeshNodeOptions) {
    const { crypto, random, key, root, snapshot, records } = options;
    this.id = nodeId(key.publicKey);
    this.#crypto = crypto;
    this.#key = key;
    this.#root = root;
    this.#device = options.device;
    this.#snapshot = snapshot;
    const opener = new RecordOpener(crypto);
    const statement = opener.open(snapshot.statement);
    if (!statement.ok || statement.value.content.type !== "network") throw new TypeError("the snapshot holds no network statement");
    this.trust = new Trust({ crypto, opener, network: networkId(statement.value.hash), statement: statement.value.content.network });
    const set = new RecordSet(crypto);
    set.put(statement.value);
    this.#book = new RecordBook({ trust: this.trust, opener, set });
    // Whoever was killed while it left is a member once more, to tell those who have not heard.
    const kept = snapshot.hasLeft ? records.filter((bytes) => opener.removalTarget(bytes) !== this.id) : records;
    this.#book.merge([snapshot.certificate, ...snapshot.ledger.assignments.map(({ certificate }) => certificate), ...kept]);
    this.#peers = new Peers({
      crypto,
      random,
      key: crypto.agreementKeyOf(key),
      counters: this.#counters,
      plan: this.trust.plan,
      stampFloor: snapshot.stampsUntil,
      ownEndpoints: () => this.#ownRecord.endpoints().udp,
      mappedEndpoints: () => this.#ownRecord.mappedEndpoints(),
      takesTcp: () => this.#snapshot.tcpRelay > 0,
      onPong: (pong) => this.#commands.answered(pong, this.#now),
      onReserve: (until) => this.#write({ stampsUntil: until }, () => this.#peers.stampsReserved(until, this.#now)),
    });
    this.#ownRecord = new OwnRecord({
      self: this.id,
      crypto,
      key,
      trust: this.trust,
      book: this.#book,
      peers: this.#peers,
      host: options.host,
      snapshot: () => this.#snapshot,
      nextSequence: () => this.#nextSequence(),
      commit: (change, then) => this.#write(change, then),
      announce: (own) => this.#announce(own),
    });
    this.#isIpv4Usable = this.#collision() === undefined;
    const { trust } = this;
    this.#desk = new AdmissionDesk({
      crypto,
      random,
      key,
      root,
      trust,
      book: this.#book,
      counters: this.#counters,
      wallNow: () => this.#wallNow(),
      isLinked: (node) => this.#links.has(node),
      reachableMembers: () => this.#reachableMembers(),
      announce: (own) => this.#announce(own),
      ledger: () => this.#snapshot.ledger,
      certificate: () => this.#snapshot.certificate,
      commit: (change, then) => this.#write(change, then),
      whenDurable: (then) => this.#writes.whenDurable(then),
    });
    this.#farewell = new Farewell({
      crypto,
      key,
      trust,
      holdsRoot: root !== undefined,
      isMember: () => this.#own() !== undefined,
      isHeard: () => this.#links.size > 0 || this.#book.membership.members.size === 1,
      wallNow: () => this.#wallNow(),
      nextSequence: () => this.#nextSequence(),
      place: () => this.#ownRecord.lastPlace(this.#now),
      certificate: () => this.#snapshot.certificate,
      commit: (change, then) => this.#write(change, then),
      announce: (own) => this.#announce(own),
    });
    const { id: self } = this;
    this.#commands = new CommandDesk({ self, trust, book: this.#book, peers: this.#peers, desk: this.#desk, farewell: this.#farewell });
  }

  handle(event: NodeEvent, now: Millis): readonly NodeEffect[] {
    this.#now = now;
    return [...this.#handle(event), ...this.#due()];
  }

  /** When a `timer` event is next needed; undefined: not before something else happens. */
  wakeAt(): Millis | undefined {
    const lasting = this.#farewell.isBegun ? [] : [this.#peers.wakeAt(), this.#ownRecord.wakeAt()];
    return earliest(...lasting, this.#commands.wakeAt(), this.#cutOff.wakeAt(), this.#recordsWriteAt);
  }

  /** What libp2p needs answered at once. Pure. */
  get queries(): ControlQueries {
    return {
      credentials: () => this.#snapshot.certificate,
      refuseMember: (node, credentials) => this.#book.refuseMember(node, credentials),
      isRemoved: (node) => this.#book.membership.former.has(node),
      judgeRecord: (record) => {
        const verdict = this.#book.judge(record);
        if (verdict.outcome === "refused") return BLAMELESS.has(verdict.fault) ? "ignore" : "reject";
        return verdict.outcome === "new" ? "accept" : "ignore";
      },
      digest: this.#book.set,
    };
  }

  status(sources: ViewSources): StatusView {
    return statusView(this.#viewParts(), sources);
  }

  routes(sources: ViewSources): RoutesView {
    return routesView(this.#viewParts(), sources);
  }

  /** Throws MeshError `peer/unknown` or `peer/ambiguous`. */
  why(target: string, sources: ViewSources): WhyView {
    return whyView(this.#viewParts(), target, sources);
  }

  netcheck(sources: ViewSources): NetcheckView {
    return netcheckView(this.#viewParts(), sources);
  }

  #handle(event: NodeEvent): readonly NodeEffect[] {
    switch (event.type) {
      case "started": {
        this.#startedWallAt = this.#wallNow();
        const written = this.#write({ tcpPort: event.tcpPort });
        this.#ownRecord.resume(this.#now);
        this.#ownRecord.placeChanged(this.#now);
        return [
          ...written,
          { type: "set-handshake-key", publicKey: this.#crypto.agreementKeyOf(this.#key).publicKey },
          this.#link(),
          ...this.#membersChanged(),
          ...this.#candidatesChanged(this.#book.set.endpointRecords()),
          ...this.#greetPeers(),
        ];
      }
      case "stopping":
        if (this.#recordsWriteAt !== undefined) this.#recordsWriteAt = this.#now;
        return this.#farewell.stopping(event.isWanted);
      case "settled":
        return this.#farewell.settled(event.id, event.members);
      case "wall-clock":
        this.#wallOffset = event.offset;
        return this.#peers.wallClock(event.offset, this.#now);
      case "timer":
        return this.#farewell.isBegun ? [] : this.#peers.timer(this.#now);
      case "persisted":
        return this.#writes.persisted(event.id);
      case "host": {
        const isElsewhere = this.#ownRecord.hostChanged(event.host, this.#now);
        return [this.#link(), ...(isElsewhere ? this.#peers.networkChanged(this.#now) : [])];
      }
      case "port-mapped": {
        const hasLost = this.#ownRecord.portMapped(event.endpoints, this.#now);
        return hasLost && !this.#farewell.isBegun ? this.#peers.mappingLost(this.#now) : [];
      }
      case "tcp-way":
        return [...this.#peers.tcpWay(event.node, event.way, this.#now), ...this.#targets.relink(event.node)];
      case "sockets-opened":
        return this.#peers.socketsOpened(event.sockets, this.#now);
      case "traffic":
        return this.#farewell.isBegun ? [] : this.#peers.traffic(event.peers, this.#now);
      case "command":
        return this.#commands.command(event.id, event.command, this.#now);
      case "engine-failed":
        return [log("error", "the packet engine stopped", { reason: event.reason })];
      case "datagram":
      case "session-wanted":
      case "session-confirmed":
        return this.#farewell.isBegun ? [] : this.#peers.exception(event, this.#now);
      case "link-up":
      case "link-down":
      case "records":
      case "join-request":
      case "join-carried":
      case "refused":
        return this.#control(event);
    }
  }

  #control(event: ControlEvent): readonly NodeEffect[] {
    switch (event.type) {
      case "link-up":
        // It was removed while the link came up.
        if (!this.#book.membership.members.has(event.node)) return [{ type: "disconnect", node: event.node }];
        this.#links.set(event.node, event.remote);
        return [
          log("info", "control link up", { node: event.node, name: this.#nameOf(event.node) }),
          ...this.#peers.linked(event.node, event.remote, this.#now),
          ...this.#stopped().flatMap(({ node }) => (this.#targets.isWanted(node) ? [this.#targets.drop(node)] : [])),
        ];
      case "link-down":
        this.#links.delete(event.node);
        return [
          log("info", "control link down", { node: event.node, name: this.#nameOf(event.node) }),
          ...this.#peers.doubt(event.node, this.#now),
        ];
      case "records":
        return this.#merge(event);
      case "join-request":
        return this.#desk.request(event.id, event.request, event.carriedBy);
      case "join-carried":
        return this.#desk.carried(event.id, event.response);
      case "refused":
        this.#counters.count(`control.${event.cause}`, event.count);
        return [];
    }
  }

  /** What is due whatever happened: own endpoints, overdue pings, the write of changed records. */
  #due(): readonly NodeEffect[] {
    const now = this.#now;
    const effects: NodeEffect[] = [];
    if (this.#peers.takeMoved()) this.#ownRecord.placeChanged(now);
    if (!this.#farewell.isBegun) effects.push(...this.#ownRecord.due(now));
    effects.push(...this.#commands.overdue(now));
    const isCutOff = this.#links.size === 0 && this.#book.membership.members.size > 1 && !this.#farewell.isBegun;
    if (this.#cutOff.isDue(isCutOff, now)) effects.push(...this.#dialWhenCutOff());
    if (this.#recordsWriteAt !== undefined && now >= this.#recordsWriteAt) {
      this.#recordsWriteAt = undefined;
      const bytes = encodeRecords([...this.#book.set.values()].map((record) => record.bytes));
      effects.push({ type: "persist", id: UNAWAITED, document: "records", bytes });
    }
    return effects;
  }

  // Records

  #merge(event: Extract<ControlEvent, { type: "records" }>): readonly NodeEffect[] {
    const changed: SignedRecord[] = [];
    for (const verdict of this.#book.merge(event.records, this.#now)) {
      if (verdict.outcome === "new") changed.push(verdict.record);
      if (verdict.outcome === "refused") this.#counters.count(`record.${verdict.fault}`);
      if (verdict.outcome === "known") this.#counters.count("record.known");
    }
    const effects = [...this.#recordsChanged(changed)];
    // What others hold is not what this start has told: an earlier one's last word, another copy's, or the disk lost it. Above that we go on.
    const foreign = changed.find(({ author, content }) => content.type === "endpoint" && author === this.id);
    if (foreign !== undefined) {
      this.#snapshot = { ...this.#snapshot, sequence: Math.max(this.#snapshot.sequence, foreign.sequence) };
      this.#ownRecord.wasReplaced(this.#now);
    }
    if (event.via === "sync" && changed.length <= MAX_FORWARDED)
      for (const { bytes } of changed) effects.push({ type: "publish-record", record: bytes });
    return effects;
  }

  /** Merges records of our own making and tells everyone. */
  #announce(records: readonly Uint8Array[]): readonly NodeEffect[] {
    const changed = this.#book.merge(records).flatMap((verdict) => (verdict.outcome === "new" ? [verdict.record] : []));
    return [...this.#recordsChanged(changed), ...records.map((record): NodeEffect => ({ type: "publish-record", record }))];
  }

  #recordsChanged(changed: readonly SignedRecord[]): readonly NodeEffect[] {
    if (changed.length === 0) return [];
    // A removal forgotten by a crash would let the removed key in again until the next sync.
    const isUrgent = changed.some(({ content }) => content.type === "removal");
    this.#recordsWriteAt = isUrgent ? this.#now : (this.#recordsWriteAt ?? this.#now + RECORDS_WRITE_DELAY);
    const effects: NodeEffect[] = [];
    if (changed.some(({ content }) => content.type === "certificate" || content.type === "removal"))
      effects.push(...this.#membersChanged());
    const endpoints = changed.flatMap(({ content }) => (content.type === "endpoint" ? [content.endpoint] : []));
    effects.push(...this.#candidatesChanged(endpoints));
    return effects;
  }

  /** Members came or went: peers, forwarding table and control links follow. */
  #membersChanged(): readonly NodeEffect[] {
    // A node that has just left says so over the links it has, before it lets go of them.
    if (this.#farewell.hasLeft) return [];
    const { members } = this.#book.membership;
    const own = members.get(this.id);
    // A node that was removed talks to nobody: the others have cut it off already.
    const peers = own === undefined ? [] : [...members.values()].filter((member) => member.id !== this.id);
    const effects: NodeEffect[] = [];
    if (
      own !== undefined &&
      own.record !== this.#snapshot.certificate &&
      this.trust.isRenewal(own.certificate, this.#snapshot.certificate)
    ) {
      effects.push(...this.#write({ certificate: own.record }));
    }
    const numbers = new Map(peers.map(({ id, certificate, isConflicted }) => [id, isConflicted ? undefined : certificate.number]));
    effects.push(...this.#peers.setPeers(numbers, own?.isConflicted === false ? own.certificate.number : undefined, this.#now));
    effects.push({ type: "publish-table", table: compileTable(this.trust.plan, peers, (node) => this.#peers.slotOf(node)) });
    const bytesPerSecond = this.#snapshot.relayLimit * BYTES_PER_MBIT;
    if (bytesPerSecond > 0) effects.push({ type: "set-relay", relay: { members: this.#peers.relayMembers(), bytesPerSecond } });
    effects.push(...this.#targets.keepOnly(new Set(numbers.keys()), this.#links.keys()));
    if (own?.certificate.number !== this.#linkedNumber) effects.push(this.#link());
    return effects;
  }

  /** A mesh of everyday size hears at once that this node is there: peers that had a session with it need a new one. */
  #greetPeers(): readonly NodeEffect[] {
    // A host that may be reachable lets those behind NATs speak first: what comes unasked is how it learns that it is.
    const isWaiting = this.#ownRecord.mayBeReachable(this.#now);
    const peers = this.#book.set
      .endpointRecords()
      .filter(({ node, isStopped, isReachable }) => node !== this.id && !isStopped && (isReachable || !isWaiting));
    return peers.length > MOST_GREETED ? [] : peers.flatMap(({ node }) => this.#peers.want(node, this.#now));
  }

  #candidatesChanged(records: readonly EndpointRecord[]): readonly NodeEffect[] {
    return records.flatMap((record): readonly NodeEffect[] => {
      if (record.node === this.id || this.#peers.slotOf(record.node) === undefined) return [];
      const usable = (endpoints: readonly Endpoint[]): readonly Endpoint[] =>
        endpoints.filter((endpoint) => isUsableCandidate(this.trust.plan, endpoint));
      const isKept = record.homes.includes(this.id);
      const tcpRelays = usable(tcpRelayEndpoints(record));
      if (record.isStopped) return [...this.#peers.stopped(record.node, this.#now, tcpRelays), this.#targets.drop(record.node)];
      const place = { ...record, own: usable(record.udp), reflexive: usable(record.reflexive), isKept, tcpRelays };
      const candidates = this.#peers.published(record.node, place, this.#now);
      return [...candidates, ...this.#targets.want(record.node, usable(record.tcp))];
    });
  }

  #dialWhenCutOff(): readonly NodeEffect[] {
    const { plan } = this.trust;
    const linked = linksThroughTunnel(this.#book.set.endpointRecords(), {
      plan,
      isIpv4Usable: this.#isIpv4Usable,
      numberOf: (node) => this.#book.membership.members.get(node)?.certificate.number,
      isReached: (node) => this.#peers.isReached(node),
    });
    this.#peers.cutOff(this.#now);
    const stopped = this.#stopped().map(({ node, tcp }) => ({ node, endpoints: tcp.filter((at) => isUsableCandidate(plan, at)) }));
    return [...linked, ...stopped].flatMap(({ node, endpoints }) => this.#targets.want(node, endpoints));
  }

  /** Members that said goodbye, and nobody may be left to say that they are back. */
  #stopped(): readonly EndpointRecord[] {
    return this.#book.set.endpointRecords().filter(({ node, isStopped }) => isStopped && node !== this.id && !this.#links.has(node));
  }

  #nextSequence(): number {
    return Math.max(this.#snapshot.sequence + 1, Math.floor(this.#wallNow()));
  }

  #reachableMembers(): readonly InviteMember[] {
    const others = this.#book.set.endpointRecords().filter(({ node }) => this.#links.has(node));
    return inviteMembers([{ node: this.id, ...this.#ownRecord.place(this.#now) }, ...others]);
  }

  // Host

  #link(): NodeEffect {
    const number = this.#own()?.certificate.number;
    this.#linkedNumber = number;
    return { type: "apply-link", ...linkOf(this.trust.plan, { number, isIpv4Usable: this.#isIpv4Usable }) };
  }

  #collision(): string | undefined {
    return hostCollision(this.trust.plan.prefix4, this.#ownRecord.host);
  }

  // Durability

  /** Writes the `node` document with this change; `then` runs when it is durable. */
  #write(change: Partial<NodeSnapshot>, then?: () => readonly NodeEffect[]): readonly NodeEffect[] {
    this.#snapshot = { ...this.#snapshot, ...change };
    return [this.#writes.write(this.#snapshot, then)];
  }

  #own(): Member | undefined {
    return this.#book.membership.members.get(this.id);
  }

  #nameOf(node: NodeId): string {
    return this.#book.membership.members.get(node)?.name ?? shortId(node);
  }

  #wallNow(): Millis {
    return this.#now + this.#wallOffset;
  }

  #viewParts(): ViewParts {
    return {
      id: this.id,
      trust: this.trust,
      membership: this.#book.membership,
      peers: this.#peers,
      counters: this.#counters,
      device: this.#device,
      holdsRoot: this.#root !== undefined,
      snapshot: this.#snapshot,
      links: this.#links,
      listen: this.#ownRecord.endpoints().tcp,
      mapped: this.#ownRecord.mapped,
      startedWallAt: this.#startedWallAt,
      wallOffset: this.#wallOffset,
      host: this.#ownRecord.host,
      endpointRecords: () => this.#book.set.endpointRecords(),
      isIpv4Usable: this.#isIpv4Usable,
      collision: this.#collision(),
    };
  }
}
