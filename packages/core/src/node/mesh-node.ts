import { address4, address6, isOverlay } from "../address/address-plan.ts";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import type { Prefix } from "../address/prefix.ts";
import type { RoutesView, StatusView } from "../api/views.ts";
import type { Crypto, Random, SigningKey } from "../crypto/crypto.ts";
import { MeshError } from "../errors.ts";
import { networkId } from "../ids/network-id.ts";
import { type NodeId, nodeId, parseNodeId, shortId } from "../ids/node-id.ts";
import type { InviteMember } from "../membership/invite.ts";
import type { Member } from "../membership/membership.ts";
import { RecordBook, type RecordRefusal } from "../membership/record-book.ts";
import { Trust } from "../membership/trust.ts";
import { isUsableCandidate } from "../path/candidate.ts";
import type { ControlEvent, ControlQueries } from "../ports/control-plane.ts";
import type { HostView } from "../ports/host-network.ts";
import { type EndpointRecord, signEndpointRecord } from "../records/endpoint-record.ts";
import type { SignedRecord } from "../records/record.ts";
import { RecordOpener } from "../records/record.ts";
import { RecordSet } from "../records/record-set.ts";
import { compileTable } from "../routing/compile-table.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import { AdmissionDesk, type LedgerChange } from "./admission-desk.ts";
import { Counters } from "./counters.ts";
import { overlap } from "./found-network.ts";
import type { NodeEffect } from "./node-effect.ts";
import type { CommandId, NodeCommand, NodeEvent } from "./node-event.ts";
import { Overlay, type Pong } from "./overlay.ts";
import { EndpointPublisher, type OwnEndpoints, ownEndpoints } from "./own-endpoints.ts";
import { pathText } from "./peer-state.ts";
import { PingDesk, pingView } from "./ping-desk.ts";
import { encodeRecords, encodeSnapshot, type NodeSnapshot } from "./snapshot.ts";
import { type NodeDevice, routesView, statusView, type ViewSources } from "./views.ts";

export interface MeshNodeOptions {
  readonly crypto: Crypto;
  readonly random: Random;
  readonly key: SigningKey;
  /** The network's root key, where this node holds it. */
  readonly root?: SigningKey;
  /** With the ports as they are now. */
  readonly snapshot: NodeSnapshot;
  /** What the store's `records` document held. */
  readonly records: readonly Uint8Array[];
  readonly device: NodeDevice;
  readonly host: HostView;
}

/** Records that changed are written this much later, so that a burst is one write. They can be had again from any member. */
const RECORDS_WRITE_DELAY: Millis = seconds(2);

/** Faults of records that an honest member may pass on: the author's certificate may be on the way here, or its version newer than ours. */
const BLAMELESS: ReadonlySet<RecordRefusal> = new Set(["not-entitled", "too-many", "unknown-version"]);

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
  readonly #overlay: Overlay;
  readonly #desk: AdmissionDesk;
  readonly #pings = new PingDesk();
  readonly #publisher = new EndpointPublisher();
  readonly #links = new Map<NodeId, Endpoint>();
  #snapshot: NodeSnapshot;
  #host: HostView;
  #wallOffset: Millis = 0;
  #now: Millis = 0;
  #startedWallAt: Millis = 0;
  #engineFailure: string | undefined;
  #lastWriteId = 0;
  #durableWriteId = 0;
  readonly #afterWrite = new Map<number, (() => readonly NodeEffect[])[]>();
  #recordsWriteAt: Millis | undefined;
  /** What was told to the control plane per member, so that only changes are told. */
  readonly #connectTold = new Map<NodeId, string>();

  constructor(options: MeshNodeOptions) {
    const { crypto, random, key, root, snapshot, records } = options;
    this.id = nodeId(key.publicKey);
    this.#crypto = crypto;
    this.#key = key;
    this.#root = root;
    this.#device = options.device;
    this.#snapshot = snapshot;
    this.#host = options.host;
    const opener = new RecordOpener(crypto);
    const statement = opener.open(snapshot.statement);
    if (!statement.ok || statement.value.content.type !== "network") throw new TypeError("the snapshot holds no network statement");
    this.trust = new Trust({ crypto, opener, network: networkId(statement.value.hash), statement: statement.value.content.network });
    const set = new RecordSet(crypto);
    set.put(statement.value);
    this.#book = new RecordBook({ trust: this.trust, opener, set });
    this.#book.merge([snapshot.certificate, ...snapshot.ledger.assignments.map(({ certificate }) => certificate), ...records]);
    this.#overlay = new Overlay({
      crypto,
      random,
      key: crypto.agreementKeyOf(key),
      counters: this.#counters,
      onPong: (pong) => this.#onPong(pong),
    });
    const { trust } = this;
    this.#desk = new AdmissionDesk(
      {
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
        commit: (change, then) => this.#commit(change, then),
        whenDurable: (then) => this.#whenDurable(then),
      },
      snapshot,
    );
  }

  handle(event: NodeEvent, now: Millis): readonly NodeEffect[] {
    this.#now = now;
    return [...this.#handle(event, now), ...this.#due(now)];
  }

  /** When a `timer` event is next needed; undefined: not before something else happens. */
  wakeAt(): Millis | undefined {
    return earliest(this.#overlay.wakeAt(), this.#pings.wakeAt(), this.#publisher.wakeAt(), this.#recordsWriteAt);
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

  isOverlay(ip: Ip): boolean {
    return isOverlay(this.trust.plan, ip);
  }

  #handle(event: NodeEvent, now: Millis): readonly NodeEffect[] {
    switch (event.type) {
      case "started": {
        this.#startedWallAt = this.#wallNow();
        const written = this.#write({ tcpPort: event.tcpPort });
        this.#publisher.want(this.#endpoints());
        return [...written, this.#link(), ...this.#membersChanged(now), ...this.#candidatesChanged(this.#endpointRecords(), now)];
      }
      case "stopping":
        if (this.#recordsWriteAt !== undefined) this.#recordsWriteAt = now;
        return [];
      case "wall-clock":
        this.#wallOffset = event.offset;
        return this.#overlay.wallClock(event.offset, now);
      case "timer":
        return this.#overlay.timer(now);
      case "persisted":
        return this.#persisted(event.id);
      case "host": {
        this.#host = event.host;
        this.#publisher.want(this.#endpoints());
        return [this.#link()];
      }
      case "traffic":
        return this.#overlay.traffic(event.peers, now);
      case "command":
        return this.#command(event.id, event.command, now);
      case "engine-failed":
        this.#engineFailure = event.reason;
        return [log("error", "the packet engine stopped", { reason: event.reason })];
      case "datagram":
      case "session-wanted":
      case "session-confirmed":
        return this.#overlay.exception(event, now);
      case "link-up":
      case "link-down":
      case "records":
      case "join-request":
      case "join-carried":
        return this.#control(event, now);
    }
  }

  #control(event: ControlEvent, now: Millis): readonly NodeEffect[] {
    switch (event.type) {
      case "link-up":
        this.#links.set(event.node, event.remote);
        return [
          log("info", "control link up", { node: event.node, name: this.#nameOf(event.node) }),
          ...this.#overlay.want(event.node, now),
        ];
      case "link-down":
        this.#links.delete(event.node);
        return [
          log("info", "control link down", { node: event.node, name: this.#nameOf(event.node) }),
          ...this.#overlay.doubt(event.node, now),
        ];
      case "records":
        return this.#merge(event, now);
      case "join-request":
        return this.#desk.request(event.id, event.request, event.carriedBy);
      case "join-carried":
        return this.#desk.carried(event.id, event.response);
    }
  }

  /** What is due whatever happened: own endpoints, overdue pings, the write of changed records. */
  #due(now: Millis): readonly NodeEffect[] {
    const effects: NodeEffect[] = [];
    const endpoints = this.#publisher.takeDue(now);
    if (endpoints !== undefined) effects.push(...this.#publishEndpoints(endpoints));
    for (const [id, node] of this.#pings.takeOverdue(now)) effects.push(this.#pingResult(id, node, undefined));
    if (this.#recordsWriteAt !== undefined && now >= this.#recordsWriteAt) {
      this.#recordsWriteAt = undefined;
      const bytes = encodeRecords([...this.#book.set.values()].map((record) => record.bytes));
      effects.push({ type: "persist", id: ++this.#lastWriteId, document: "records", bytes });
    }
    return effects;
  }

  // Records

  #merge(event: Extract<ControlEvent, { type: "records" }>, now: Millis): readonly NodeEffect[] {
    const changed: SignedRecord[] = [];
    for (const verdict of this.#book.merge(event.records)) {
      if (verdict.outcome === "new") changed.push(verdict.record);
      if (verdict.outcome === "refused") this.#counters.count(`record.${verdict.fault}`);
      if (verdict.outcome === "known") this.#counters.count("record.known");
    }
    const effects = [...this.#recordsChanged(changed, now)];
    if (event.via === "sync" && changed.length <= MAX_FORWARDED)
      for (const { bytes } of changed) effects.push({ type: "publish-record", record: bytes });
    return effects;
  }

  /** Merges records of our own making and tells everyone. */
  #announce(records: readonly Uint8Array[]): readonly NodeEffect[] {
    const changed = this.#book.merge(records).flatMap((verdict) => (verdict.outcome === "new" ? [verdict.record] : []));
    return [...this.#recordsChanged(changed, this.#now), ...records.map((record): NodeEffect => ({ type: "publish-record", record }))];
  }

  #recordsChanged(changed: readonly SignedRecord[], now: Millis): readonly NodeEffect[] {
    if (changed.length === 0) return [];
    this.#recordsWriteAt ??= now + RECORDS_WRITE_DELAY;
    const effects: NodeEffect[] = [];
    if (changed.some(({ content }) => content.type === "certificate" || content.type === "removal"))
      effects.push(...this.#membersChanged(now));
    const endpoints = changed.flatMap(({ content }) => (content.type === "endpoint" ? [content.endpoint] : []));
    effects.push(...this.#candidatesChanged(endpoints, now));
    const foreign = changed.find((record) => record.author === this.id && record.sequence > this.#snapshot.sequence);
    if (foreign !== undefined) {
      // Another copy of this node spoke, or this one lost its state: continue above what it said.
      this.#snapshot = { ...this.#snapshot, sequence: foreign.sequence };
      this.#publisher.wantAgain(this.#endpoints());
    }
    return effects;
  }

  /** Members came or went: peers, forwarding table and control links follow. */
  #membersChanged(now: Millis): readonly NodeEffect[] {
    const { members } = this.#book.membership;
    const own = members.get(this.id);
    // A node that was removed talks to nobody: the others have cut it off already.
    const peers = own === undefined ? [] : [...members.values()].filter((member) => member.id !== this.id);
    const effects: NodeEffect[] = [];
    if (own !== undefined && own.record !== this.#snapshot.certificate && own.certificate.serial > this.#ownSerial()) {
      effects.push(...this.#write({ certificate: own.record }));
    }
    const ids = new Set(peers.map(({ id }) => id));
    effects.push(...this.#overlay.setPeers(ids, now));
    effects.push({ type: "publish-table", table: compileTable(this.trust.plan, peers, (node) => this.#overlay.slotOf(node)) });
    for (const node of [...this.#connectTold.keys()]) {
      if (ids.has(node)) continue;
      this.#connectTold.delete(node);
      effects.push({ type: "disconnect", node });
    }
    return effects;
  }

  #candidatesChanged(records: readonly EndpointRecord[], now: Millis): readonly NodeEffect[] {
    return records.flatMap((record): readonly NodeEffect[] => {
      if (record.node === this.id || this.#overlay.slotOf(record.node) === undefined) return [];
      const usable = (endpoints: readonly Endpoint[]): readonly Endpoint[] =>
        endpoints.filter((endpoint) => isUsableCandidate(this.trust.plan, endpoint));
      const effects = [...this.#overlay.setCandidates(record.node, usable(record.udp), now)];
      const endpoints = usable(record.tcp);
      const told = JSON.stringify(endpoints);
      if (endpoints.length > 0 && this.#connectTold.get(record.node) !== told) {
        this.#connectTold.set(record.node, told);
        effects.push({ type: "connect", node: record.node, endpoints });
      }
      return effects;
    });
  }

  #endpointRecords(): readonly EndpointRecord[] {
    return [...this.#book.set.values()].flatMap(({ content }) => (content.type === "endpoint" ? [content.endpoint] : []));
  }

  #publishEndpoints(endpoints: OwnEndpoints): readonly NodeEffect[] {
    if (!this.#book.membership.members.has(this.id)) return [];
    const sequence = Math.max(this.#snapshot.sequence + 1, Math.floor(this.#wallNow()));
    const record = signEndpointRecord(this.#crypto, this.#key, { network: this.trust.network, sequence, ...endpoints });
    this.#snapshot = { ...this.#snapshot, sequence };
    // Told when the sequence is durable: a sequence used twice would leave two records nobody could order.
    return this.#write({}, () => this.#announce([record]));
  }

  #endpoints(): OwnEndpoints {
    return ownEndpoints(this.trust.plan, this.#host, { udp: this.#snapshot.udpPort, tcp: this.#snapshot.tcpPort });
  }

  #reachableMembers(): readonly InviteMember[] {
    const others = this.#endpointRecords().filter(({ node }) => node !== this.id && this.#links.has(node));
    const own = { node: this.id, endpoints: this.#endpoints().tcp };
    return [own, ...others.map(({ node, tcp }) => ({ node, endpoints: tcp }))].filter(({ endpoints }) => endpoints.length > 0);
  }

  // Host

  /** The tunnel's addresses and routes. Where the mesh's IPv4 prefix collides with a route of the host, IPv6 alone is used. */
  #link(): NodeEffect {
    const { plan } = this.trust;
    const number = this.#own()?.certificate.number;
    if (number === undefined) return { type: "apply-link", addresses: [], routes: [] };
    const v6: { readonly ip: Ip; readonly prefix: Prefix } = { ip: address6(plan, number), prefix: plan.prefix6 };
    const used = this.#collision() === undefined ? [{ ip: address4(plan, number), prefix: plan.prefix4 }, v6] : [v6];
    return { type: "apply-link", addresses: used.map(({ ip }) => ip), routes: used.map(({ prefix }) => prefix) };
  }

  #collision(): string | undefined {
    return overlap(this.trust.plan.prefix4, this.#host);
  }

  // Durability

  #commit(change: LedgerChange, then: () => readonly NodeEffect[]): readonly NodeEffect[] {
    return this.#write(change, then);
  }

  /** Writes the `node` document with this change; `then` runs when it is durable. */
  #write(change: Partial<NodeSnapshot>, then?: () => readonly NodeEffect[]): readonly NodeEffect[] {
    this.#snapshot = { ...this.#snapshot, ...change };
    const id = ++this.#lastWriteId;
    if (then !== undefined) this.#afterWrite.set(id, [then]);
    return [{ type: "persist", id, document: "node", bytes: encodeSnapshot(this.#snapshot) }];
  }

  #whenDurable(then: () => readonly NodeEffect[]): readonly NodeEffect[] {
    if (this.#durableWriteId === this.#lastWriteId) return then();
    this.#afterWrite.set(this.#lastWriteId, [...(this.#afterWrite.get(this.#lastWriteId) ?? []), then]);
    return [];
  }

  #persisted(id: number): readonly NodeEffect[] {
    this.#durableWriteId = Math.max(this.#durableWriteId, id);
    const waiting = this.#afterWrite.get(id) ?? [];
    this.#afterWrite.delete(id);
    return waiting.flatMap((then) => then());
  }

  // People

  #command(id: CommandId, command: NodeCommand, now: Millis): readonly NodeEffect[] {
    try {
      if (command.type === "invite") {
        return this.#desk.invite(command, (invite) => [{ type: "command-result", id, result: { type: "invite", invite } }]);
      }
      const member = this.#find(command.target);
      if (!this.#pings.add(id, member.id, now)) return [this.#pingResult(id, member.id, undefined)];
      return this.#overlay.ping(member.id, now);
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      return [{ type: "command-result", id, result: { type: "failed", error } }];
    }
  }

  #onPong({ node, rtt }: Pong): readonly NodeEffect[] {
    return this.#pings.takeAnswered(node).map((id) => this.#pingResult(id, node, rtt));
  }

  #pingResult(id: CommandId, node: NodeId, rtt: Millis | undefined): NodeEffect {
    const member = this.#book.membership.members.get(node);
    const peer = this.#overlay.peer(node);
    const ping = pingView({
      node: member?.name ?? shortId(node),
      address: member === undefined ? "-" : address4(this.trust.plan, member.certificate.number),
      path: peer === undefined ? "not a member any more" : pathText(peer.path, this.#now),
      rtt,
      session: peer?.sessionAt !== undefined,
    });
    return { type: "command-result", id, result: { type: "ping", ping } };
  }

  /** A member other than this one, by name, address or id; throws a MeshError when there is none. */
  #find(target: string): Member {
    const { plan } = this.trust;
    const found = [...this.#book.membership.members.values()].find(({ id, name, certificate }) => {
      if (target === name || target === `${name}.mesh.internal` || parseNodeId(target) === id) return true;
      if (/^[0-9a-f]{8,63}$/.test(target) && id.startsWith(target)) return true;
      return target === address4(plan, certificate.number) || target === address6(plan, certificate.number);
    });
    const hint = "`mesh peers` lists the names and addresses of all nodes.";
    if (found === undefined)
      throw new MeshError("peer/unknown", `No node of this network is called ${target}.`, { wanted: target }, { hint });
    if (found.id === this.id) throw new MeshError("peer/unknown", `${target} is this node itself.`, { wanted: target }, { hint });
    return found;
  }

  #own(): Member | undefined {
    return this.#book.membership.members.get(this.id);
  }

  #ownSerial(): number {
    return this.trust.believedCertificate(this.#snapshot.certificate)?.certificate.serial ?? 0;
  }

  #nameOf(node: NodeId): string {
    return this.#book.membership.members.get(node)?.name ?? shortId(node);
  }

  #wallNow(): Millis {
    return this.#now + this.#wallOffset;
  }

  #viewParts(): Parameters<typeof statusView>[0] {
    return {
      id: this.id,
      trust: this.trust,
      membership: this.#book.membership,
      overlay: this.#overlay,
      counters: this.#counters,
      device: this.#device,
      holdsRoot: this.#root !== undefined,
      snapshot: this.#snapshot,
      links: this.#links,
      listen: this.#endpoints().tcp,
      startedWallAt: this.#startedWallAt,
      wallOffset: this.#wallOffset,
      collision: this.#collision(),
      engineFailure: this.#engineFailure,
    };
  }
}

function log(level: "debug" | "info" | "warn" | "error", message: string, fields: Readonly<Record<string, unknown>>): NodeEffect {
  return { type: "log", level, message, fields };
}
