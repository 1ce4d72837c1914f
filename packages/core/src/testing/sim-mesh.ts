import type { Endpoint } from "../address/endpoint.ts";
import { type Ip, parseIp } from "../address/ip.ts";
import { parsePrefix } from "../address/prefix.ts";
import type { RoutesView, StatusView } from "../api/views.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { type NodeId, nodeId } from "../ids/node-id.ts";
import { foundNetwork } from "../node/found-network.ts";
import { finishJoin, makeJoinRequest, readInvite } from "../node/join-network.ts";
import { MeshNode } from "../node/mesh-node.ts";
import type { CommandResult, NodeEffect } from "../node/node-effect.ts";
import type { NodeCommand, NodeEvent } from "../node/node-event.ts";
import { decodeRecords, decodeSnapshot, type NodeSnapshot } from "../node/snapshot.ts";
import type { ForwardingTable, PeerSlot, PeerTraffic } from "../ports/datapath.ts";
import type { HostView } from "../ports/host-network.ts";
import type { StoreDocument } from "../ports/store.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";
import type { InnerPacket } from "./inner-packet.ts";
import { SeededRandom } from "./seeded-random.ts";
import { SequenceDiagram } from "./sequence-diagram.ts";
import { SimClock } from "./sim-clock.ts";
import { SimControl } from "./sim-control.ts";
import { SimDatapath } from "./sim-datapath.ts";
import { SimHost } from "./sim-host.ts";
import { type LinkQuality, SimNetwork } from "./sim-network.ts";
import type { SimSite } from "./sim-site.ts";

/** How often a real agent reads the engine's stamps. */
const TRAFFIC_INTERVAL: Millis = 250;
const FSYNC_TIME: Millis = 2;
const SETTLE_TIME: Millis = 200;
/** From a change of the host's addresses until netlink's watcher tells the node. */
const HOST_EVENT_AFTER: Millis = 200;
/** Which of two keys is the lower one decides conflicts, so not every seed has the same keys. */
const KEY_SETS = 4;
export const GOOD_LINK: LinkQuality = { latency: 20, jitter: 5, loss: 0, duplication: 0 };

/** Whole nodes on one simulated network, from one seed. */
export class SimMesh {
  readonly clock: SimClock = new SimClock();
  readonly random: SeededRandom;
  readonly diagram: SequenceDiagram = new SequenceDiagram();
  readonly network: SimNetwork;
  readonly control: SimControl;
  readonly crypto: Crypto;
  readonly nodes: SimNode[] = [];
  /** Of the network that was founded here, for tests that sign in its name. */
  root: SigningKey | undefined;
  readonly #seed: number;
  readonly #keysOfName = new Map<string, number>();

  constructor(options: { readonly seed: number; readonly crypto: Crypto; readonly quality?: LinkQuality }) {
    this.#seed = options.seed;
    this.random = new SeededRandom(options.seed);
    this.crypto = options.crypto;
    const { clock, diagram, crypto } = this;
    this.network = new SimNetwork({ clock, random: this.stream("network"), diagram, quality: options.quality ?? GOOD_LINK });
    this.control = new SimControl({ clock, random: this.stream("control"), network: this.network, crypto });
  }

  /** Chance for one part alone, so that more traffic in one part changes nothing in another. */
  stream(name: string): SeededRandom {
    return SeededRandom.named(this.#seed, name);
  }

  /** A key nobody else of this mesh has. Many seeds share it, so that a memoising Crypto makes it and its agreements once. */
  freshKey(name: string): SigningKey {
    const count = (this.#keysOfName.get(name) ?? 0) + 1;
    this.#keysOfName.set(name, count);
    return this.crypto.signingKey(SeededRandom.named(this.#seed % KEY_SETS, `key ${count} of ${name}`).bytes(32));
  }

  /** Addresses for a host: of the site, or public. */
  placeIn(site: SimSite | undefined): { readonly site: SimSite | undefined; readonly ips: readonly Ip[] } {
    if (site !== undefined) return { site, ips: site.nextIps() };
    const ip = parseIp(`198.18.${this.random.below(250)}.${1 + this.random.below(250)}`);
    if (ip === undefined) throw new TypeError("address");
    return { site, ips: [ip] };
  }

  /** The first node: holds root, is an admin. Public, unless it is in a site. */
  found(name: string, options: { readonly site?: SimSite } = {}): SimNode {
    const node = this.stranger(name, options);
    const prefix4 = parsePrefix("10.77.0.0/16");
    if (prefix4 === undefined) throw new TypeError("prefix");
    const root = this.freshKey(`root of ${name}`);
    this.root = root;
    const { crypto, clock } = this;
    const founded = foundNetwork({
      crypto,
      key: node.key,
      root,
      name: "sim",
      nodeName: name,
      prefix4,
      nodeLength: 24,
      wallNow: clock.wallNow(),
    });
    node.boot({ ...founded, ...node.ports }, [], root);
    return this.#added(node);
  }

  /** A node that is not a member yet. Public, unless it is in a site. */
  stranger(name: string, options: { readonly site?: SimSite } = {}): SimNode {
    return new SimNode(this, name, options.site);
  }

  /** Makes an invite at `issuer` and joins with it, asking `via` (the issuer, unless told); runs the clock until the node is a member. */
  join(name: string, issuer: SimNode, options: { readonly via?: SimNode; readonly site?: SimSite } = {}): SimNode {
    const node = this.stranger(name, options);
    const result = this.tryJoin(node, this.invite(issuer), options.via ?? issuer);
    if (result !== undefined) throw result;
    return node;
  }

  invite(issuer: SimNode, options: { readonly uses?: number; readonly ttl?: Millis } = {}): string {
    const result = this.command(issuer, { type: "invite", uses: options.uses ?? 1, ttl: options.ttl ?? minutes(60) });
    if (result.type !== "invite") throw new TypeError(`no invite: ${result.type === "failed" ? result.error.message : result.type}`);
    return result.invite.invite;
  }

  /** Joins with an invite; undefined when it went well, else the error a person would see. */
  tryJoin(node: SimNode, invite: string, via: SimNode): Error | undefined {
    let response: Uint8Array | undefined;
    try {
      this.askToJoin(node, { invite, via, answer: (bytes) => (response = bytes) });
      this.clock.advanceUntil(seconds(15), () => response !== undefined);
      if (response === undefined) return new Error("no answer");
      this.admitted(node, invite, response);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  /** Sends the request and returns at once; `answer` gets the response if one comes. None does from a member that cannot be dialled from there. */
  askToJoin(
    node: SimNode,
    options: { readonly invite: string; readonly via: SimNode; readonly answer: (response: Uint8Array | undefined) => void },
  ): void {
    const invite = readInvite(this.crypto, options.invite);
    if (!this.network.canDial(options.via.tcp, { from: node.site, to: options.via.site })) return;
    this.control.ask(options.via.id, makeJoinRequest(this.crypto, { invite, key: node.key, name: node.name }), options.answer);
  }

  /** What a joiner does with the answer: starts as a member. Throws the error a person would see. */
  admitted(node: SimNode, invite: string, response: Uint8Array): void {
    const joined = finishJoin(this.crypto, { invite: readInvite(this.crypto, invite), key: node.key, response });
    node.boot({ ...joined.snapshot, ...node.ports }, joined.records);
    this.#added(node);
  }

  /** Runs the clock until the command has its result. */
  command(node: SimNode, command: NodeCommand): CommandResult {
    let result: CommandResult | undefined;
    node.command(command, (value) => {
      result = value;
    });
    this.clock.advanceUntil(seconds(10), () => result !== undefined);
    if (result === undefined) throw new Error("the command had no result");
    return result;
  }

  /** The last messages between the nodes, for a failed run. */
  draw(): string {
    return this.diagram.draw(this.nodes.map(({ name }) => name));
  }

  #added(node: SimNode): SimNode {
    this.nodes.push(node);
    return node;
  }
}

/** One simulated host with a node on it: what the agent is for a real one. */
export class SimNode {
  readonly name: string;
  readonly key: SigningKey;
  readonly id: NodeId;
  readonly ports = { udpPort: 51_820, tcpPort: 4_001 };
  /** Inner packets that came out of the tunnel. */
  readonly received: InnerPacket[] = [];
  readonly effects: NodeEffect[] = [];
  /** As last published to the engine. */
  table: ForwardingTable = { peers: [], roaming: [], routes: [] };
  /** A document has just become durable and the node was not told yet: where a test lets it crash. */
  onDurable: (document: StoreDocument) => void = () => {};
  readonly #mesh: SimMesh;
  readonly #host: SimHost;
  readonly #documents = new Map<StoreDocument, Uint8Array>();
  readonly #results = new Map<number, (result: CommandResult) => void>();
  #lastCommand = 0;
  #root: SigningKey | undefined;
  #node: MeshNode | undefined;
  #datapath: SimDatapath | undefined;
  /** Own and peers' addresses, until the table changes. */
  #addresses: StatusView | undefined;
  readonly #random: SeededRandom;
  #cancelWake: () => void = () => {};
  /** Rises at every boot, so that jobs of an earlier life do nothing. */
  #life = 0;

  constructor(mesh: SimMesh, name: string, site: SimSite | undefined) {
    this.#mesh = mesh;
    this.name = name;
    this.key = mesh.freshKey(name);
    this.id = nodeId(this.key.publicKey);
    this.#host = new SimHost(mesh.network, mesh.placeIn(site));
    this.#random = mesh.stream(name);
  }

  /** Its own address, as the host itself has it: in a site, one of the inside. Changes by `restart` and `moveTo`. */
  get ip(): Ip {
    return this.#host.ip;
  }

  get site(): SimSite | undefined {
    return this.#host.site;
  }

  get node(): MeshNode {
    if (this.#node === undefined) throw new TypeError(`${this.name} is not running`);
    return this.#node;
  }

  get datapath(): SimDatapath {
    if (this.#datapath === undefined) throw new TypeError(`${this.name} is not running`);
    return this.#datapath;
  }

  get isRunning(): boolean {
    return this.#node !== undefined;
  }

  /** It has ended its membership durably: the next start would find nothing but that. */
  get hasLeftOnDisk(): boolean {
    const snapshot = decodeSnapshot(this.#documents.get("node") ?? new Uint8Array());
    return snapshot.ok && snapshot.value.hasLeft;
  }

  get udp(): Endpoint {
    return { ip: this.ip, port: this.ports.udpPort };
  }

  get tcp(): Endpoint {
    return { ip: this.ip, port: this.ports.tcpPort };
  }

  get host(): HostView {
    return this.#host.view();
  }

  boot(snapshot: NodeSnapshot, records: readonly Uint8Array[], root: SigningKey | undefined = this.#root): void {
    const { clock, crypto, control } = this.#mesh;
    const life = ++this.#life;
    this.#root = root;
    this.#node = new MeshNode({
      crypto,
      random: this.#random,
      key: this.key,
      ...(root !== undefined && { root }),
      snapshot,
      records,
      device: { name: "mesh0", mtu: 1420, backend: "twin" },
      host: this.host,
    });
    this.#datapath = new SimDatapath({
      name: this.name,
      clock,
      network: this.#host,
      crypto,
      endpoint: this.udp,
      onException: (exception) => {
        if (exception.type !== "traffic-resumed") this.#alive(life, () => this.dispatch(exception));
      },
      onInner: (packet) => this.received.push(packet),
    });
    const { queries } = this.#node;
    const here = this.#host;
    const { tcpPort } = this.ports;
    control.add({
      name: this.name,
      id: this.id,
      get endpoint() {
        return { ip: here.ip, port: tcpPort };
      },
      get site() {
        return here.site;
      },
      queries,
      dispatch: (event) => this.#alive(life, () => this.dispatch(event)),
    });
    this.dispatch({ type: "wall-clock", offset: clock.wallNow() - clock.now() });
    this.dispatch({ type: "started", tcpPort: this.ports.tcpPort });
    this.#readTraffic(life);
  }

  /** kill -9: what was not durable is lost, and nobody is told. */
  crash(): void {
    this.#life++;
    this.#cancelWake();
    this.#mesh.control.remove(this.id);
    void this.#datapath?.close();
    this.#node = undefined;
    this.#datapath = undefined;
  }

  /** `mesh down`: says goodbye, then is gone. */
  stop(): void {
    this.dispatch({ type: "stopping", isWanted: true });
  }

  /** Carries the host to another site, or out of all. Its node hears of it 200 ms later, if it runs then. */
  moveTo(site: SimSite | undefined): void {
    const { clock, control } = this.#mesh;
    const life = this.#life;
    this.#host.moveTo(this.#mesh.placeIn(site));
    clock.at(clock.now() + HOST_EVENT_AFTER, () =>
      this.#alive(life, () => {
        this.dispatch({ type: "host", host: this.host });
        control.networkChanged(this.id);
      }),
    );
  }

  /** Starts again from what the store holds, at another address if one is given. */
  restart(ip?: Ip): void {
    if (ip !== undefined) this.#host.moveTo({ site: this.site, ips: [ip] });
    const snapshot = decodeSnapshot(this.#documents.get("node") ?? new Uint8Array());
    if (!snapshot.ok) throw new TypeError(`${this.name} has no state: ${snapshot.fault}`);
    const records = decodeRecords(this.#documents.get("records") ?? new Uint8Array());
    this.boot(snapshot.value, records.ok ? records.value : []);
  }

  dispatch(event: NodeEvent): void {
    const now = this.#mesh.clock.now();
    for (const effect of this.node.handle(event, now)) this.#perform(effect);
    this.#cancelWake();
    const wakeAt = this.#node?.wakeAt();
    const life = this.#life;
    if (wakeAt !== undefined)
      this.#cancelWake = this.#mesh.clock.at(wakeAt, () => this.#alive(life, () => this.dispatch({ type: "timer" })));
  }

  command(command: NodeCommand, onResult: (result: CommandResult) => void): void {
    const id = ++this.#lastCommand;
    this.#results.set(id, onResult);
    this.dispatch({ type: "command", id, command });
  }

  /** Sends a packet to the other node's own address of that family through the tunnel. */
  send(to: SimNode, options: { readonly family?: 4 | 6; readonly payload?: Uint8Array } = {}): void {
    this.#addresses ??= this.status();
    const mine = this.#addresses.self;
    const peer = this.#addresses.peers.find(({ id }) => id === to.id);
    if (peer === undefined) throw new TypeError(`${this.name} does not know ${to.name}`);
    const [source, destination] = options.family === 6 ? [mine.address6, peer.address6] : [mine.address4 ?? "", peer.address4];
    this.datapath.sendInner({ source: source as Ip, destination: destination as Ip, payload: options.payload ?? Uint8Array.of(1, 2, 3) });
  }

  status(): StatusView {
    return this.node.status(this.#sources());
  }

  routes(): RoutesView {
    return this.node.routes(this.#sources());
  }

  #sources(): Parameters<MeshNode["status"]>[0] {
    const { datapath } = this;
    return {
      now: this.#mesh.clock.now(),
      traffic: (slot) => datapath.readTraffic(slot),
      datapathCounters: datapath.readCounters(),
      guard: { guarded: true },
      unwritten: undefined,
    };
  }

  #alive(life: number, act: () => void): void {
    if (life === this.#life && this.#node !== undefined) act();
  }

  #readTraffic(life: number, told: Map<PeerSlot, PeerTraffic> = new Map()): void {
    this.#mesh.clock.at(this.#mesh.clock.now() + TRAFFIC_INTERVAL, () =>
      this.#alive(life, () => {
        const peers = this.table.peers
          .map((slot) => ({ slot, stamps: this.datapath.readTraffic(slot) }))
          .filter(({ slot, stamps }) => hasMoved(told.get(slot), stamps));
        for (const { slot, stamps } of peers) told.set(slot, stamps);
        if (peers.length > 0) this.dispatch({ type: "traffic", peers });
        this.#readTraffic(life, told);
      }),
    );
  }

  /** Who hears that this node has left hangs up, so links are counted before. */
  #settle(id: number, members: number): void {
    const { clock } = this.#mesh;
    const life = this.#life;
    clock.at(clock.now() + SETTLE_TIME, () => this.#alive(life, () => this.dispatch({ type: "settled", id, members })));
  }

  #perform(effect: NodeEffect): void {
    this.effects.push(effect);
    const { control, clock } = this.#mesh;
    switch (effect.type) {
      case "set-handshake-key":
        return this.datapath.setHandshakeKey(effect.publicKey);
      case "settle":
        return this.#settle(effect.id, control.linksOf(this.id));
      case "stopped":
        return this.crash();
      case "publish-table":
        this.table = effect.table;
        this.#addresses = undefined;
        return this.datapath.publishTable(effect.table);
      case "set-ways":
        return this.datapath.setWays(effect.slot, effect.ways);
      case "set-relay":
        return this.datapath.setRelay(effect.relay);
      case "install-session":
        return this.datapath.installSession(effect.session);
      case "drop-session":
        return this.datapath.dropSession(effect.localIndex);
      case "open-sockets": {
        const sockets = this.datapath.openSockets(effect.count);
        const life = this.#life;
        clock.at(clock.now(), () => this.#alive(life, () => this.dispatch({ type: "sockets-opened", sockets })));
        return;
      }
      case "close-sockets":
        return this.datapath.closeSockets(effect.sockets);
      case "send-keepalive":
        return this.datapath.sendKeepalive(effect.slot);
      case "send-datagram":
        return this.datapath.sendDatagram(effect.way, effect.bytes, effect);
      case "connect":
        return control.connect(this.id, effect.node, effect.endpoints);
      case "disconnect":
        return control.disconnect(this.id, effect.node);
      case "publish-record":
        return control.publish(this.id, effect.record);
      case "answer-join":
        return control.answerJoin(this.id, effect.id, effect.response);
      case "carry-join":
        return control.carryJoin(this.id, effect);
      case "persist": {
        const life = this.#life;
        clock.at(clock.now() + FSYNC_TIME, () =>
          this.#alive(life, () => {
            this.#documents.set(effect.document, effect.bytes);
            this.onDurable(effect.document);
            this.#alive(life, () => this.dispatch({ type: "persisted", id: effect.id }));
          }),
        );
        return;
      }
      case "command-result": {
        this.#results.get(effect.id)?.(effect.result);
        this.#results.delete(effect.id);
        return;
      }
      case "open-tcp-way":
      case "close-tcp-way":
      case "apply-link":
      case "log":
        return;
    }
  }
}

function hasMoved(told: PeerTraffic | undefined, { authenticatedSentAt, authenticatedReceivedAt }: PeerTraffic): boolean {
  return authenticatedSentAt !== (told?.authenticatedSentAt ?? 0) || authenticatedReceivedAt !== (told?.authenticatedReceivedAt ?? 0);
}
