/**
 * One agent: everything opened, joined together and closed again, in the order it stands here.
 *
 *   order → network and files → root? → store → log → socket and holder (the locks) → state files → what a killed agent left → engine → host view
 *     → membership (read by up; made by init and asked for by join: become-member.ts) → node → control plane
 *     → exceptions of the engine → host watch → link → ready
 *
 * It decides nothing: what happens goes into the node as events, and the node's effects are handed to the part that
 * performs them. See ARCHITECTURE.md for the ways through it.
 */
import { type AgentFiles, agentFiles, type LaunchOrder } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import {
  type CommandResult,
  encodeJoinResponse,
  MeshNode,
  type NodeCommand,
  type NodeEffect,
  type NodeEvent,
  type OpenedInvite,
  readInvite,
  type ViewSources,
} from "@mesh/core/node";
import { nodeCrypto, nodeRandom } from "@mesh/core/node-crypto";
import {
  type Clock,
  type ControlPlane,
  type Endpoint,
  type HostView,
  type Millis,
  parseEndpoint,
  type Store,
  type StoreDocument,
  seconds,
} from "@mesh/core/ports";
import type { Logger } from "pino";
import { openApiServer } from "./api/api-server.ts";
import { type NodeCalls, nodeHandlers, unexpected } from "./api/node-handlers.ts";
import { becomeMember, networkOf } from "./become-member.ts";
import { askToJoin } from "./control/ask-to-join.ts";
import { openControlPlane } from "./control/control-plane.ts";
import { type DataPlane, openDataPlane } from "./data/data-plane.ts";
import { holdStateDirectory } from "./host/holder.ts";
import { hostName } from "./host/host-name.ts";
import { type GuestNetwork, openHostNetwork } from "./host/host-network.ts";
import { PortMapper } from "./nat/port-mapper.ts";
import type { LaunchChannel } from "./runtime/launch-channel.ts";
import { openLog } from "./runtime/log.ts";
import { NodeDriver } from "./runtime/node-driver.ts";
import { type ProcessEvents, Shutdown } from "./runtime/shutdown.ts";
import { LastingWrites } from "./store/lasting-writes.ts";
import { type NodeDocuments, readNodeDocuments } from "./store/node-documents.ts";
import { discardMembership, discardStateDirectory, stateDirectoryExists } from "./store/state-directory.ts";
import { openStore } from "./store/store.ts";
import { openTcpTransport, type TcpTransport } from "./tcp-way/tcp-transport.ts";

export interface AgentOptions {
  readonly order: LaunchOrder;
  readonly clock: Clock;
  readonly channel: LaunchChannel;
  readonly process: ProcessEvents & { geteuid?(): number };
}

/** Inner packets of this size fit a path of 1500 bytes over IPv6: 40 + 8 + 16 + 16 bytes around them, as WireGuard's default. */
const TUNNEL_MTU = 1_420;

/** After joining, the first path to a member is worth waiting for: the next thing typed is a ping. */
const FIRST_PATH_TIMEOUT: Millis = seconds(2);

/** Members that are there are linked within a second or two; without one, nobody can be told anything. */
const FIRST_LINK_TIMEOUT: Millis = seconds(5);

/** Commands that wait for answers of peers, and for no write. */
const PASSING: ReadonlySet<NodeCommand["type"]> = new Set(["ping", "ask-relays"]);

const crypto = nodeCrypto();
const random = nodeRandom();

/** Starts the agent. Returns when it serves or when its start has failed; either way it goes on by itself from there. */
export async function startAgent(options: AgentOptions): Promise<void> {
  const { order, clock, channel } = options;
  const invite = order.command === "join" ? readInvite(crypto, order.invite ?? "") : undefined;
  const network = networkOf(order, invite);
  const files = agentFiles(order.stateRoot, network);
  requireRoot(options);
  const isNew = !(await stateDirectoryExists(files.directory));
  const store = await openStore(files.directory);
  const opened = openLog({ file: files.log, level: order.logLevel ?? "info", foreground: order.foreground ?? false, clock });
  const shutdown = new Shutdown({ process: options.process, clock, log: opened.log });
  // Closed once before a directory that is of no use goes, and that is the end of it: a line after it would make the file again.
  shutdown.add("log", () => opened.close());
  const agent = new Agent({ ...options, files, isNew, store, log: opened.log, closeLog: () => opened.close(), shutdown, network, invite });
  try {
    await agent.start();
    channel.ready(network, files.socket);
    if (order.command === "clean") await shutdown.stop("mesh clean");
  } catch (error) {
    channel.failed(error);
    // Who is told to end while it starts has not failed.
    if (shutdown.signal.aborted && !shutdown.hasFailed) await shutdown.stop("told to while it started");
    else await shutdown.fail(error);
  }
}

interface Parts extends AgentOptions {
  readonly files: AgentFiles;
  /** This process made the state directory. */
  readonly isNew: boolean;
  readonly store: Store;
  readonly log: Logger;
  /** Idempotent. Later lines are lost. */
  readonly closeLog: () => void;
  readonly shutdown: Shutdown;
  readonly network: string;
  readonly invite: OpenedInvite | undefined;
}

/** What runs once there is a membership. */
interface Running {
  readonly node: MeshNode;
  readonly driver: NodeDriver<NodeEvent, NodeEffect>;
  readonly data: DataPlane;
  readonly control: ControlPlane;
  readonly host: GuestNetwork;
  readonly writes: LastingWrites;
  readonly mapper: PortMapper | undefined;
  readonly tcpTransport: TcpTransport;
}

class Agent {
  readonly #parts: Parts;
  readonly #commands = new Map<number, { readonly type: NodeCommand["type"]; readonly resolve: (result: CommandResult) => void }>();
  #running: Running | undefined;
  #lastCommand = 0;
  /** Of the latest plan. */
  #linkApplied: Promise<void> = Promise.resolve();
  readonly #firstPath = Promise.withResolvers<void>();
  readonly #firstLink = Promise.withResolvers<void>();
  /** The node has said its goodbye. */
  readonly #stopped = Promise.withResolvers<void>();
  #hasLeft = false;
  /** Until it is, the journal says what is left to undo, and `mesh clean` needs it. */
  #isHostUndone = false;
  /** Must a failure leave what is stored? Settled as soon as it is known; the first answer stands. */
  readonly #keepsState = Promise.withResolvers<boolean>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      this.#keepsState.resolve(false);
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { order, clock, log, shutdown, files, store, channel } = this.#parts;
    const api = await openApiServer({ socket: files.socket, handlers: nodeHandlers(this.#calls()), clock, log });
    shutdown.add("api", () => api.close());
    shutdown.add("state directory", await holdStateDirectory(files.directory));
    // Closed before the socket: while that is held, nobody else can have begun to use the directory.
    shutdown.add("state of no use", () => this.#discardUseless());
    const journal = {
      read: () => store.read("host"),
      write: (bytes: Uint8Array) => store.write("host", bytes),
      setAside: () => store.setAside("host"),
    };
    const host = openHostNetwork({ log: log.child({ part: "host" }), clock, journal });
    try {
      for (const command of await host.undo()) if (order.command === "clean") channel.step(command);
      this.#isHostUndone = true;
    } catch (err) {
      if (order.command === "clean" || !(err instanceof MeshError)) throw err;
      log.error({ err }, "not everything that an earlier run changed on this host could be undone");
    }
    // Whatever state the membership is in: it is neither read nor changed.
    if (order.command === "clean") return this.#keepsState.resolve(!this.#parts.isNew);
    const before = await readNodeDocuments(store, files.directory, (reason) => log.warn({ reason }, "records lost, to be learnt again"));
    if (before !== undefined) this.#keepsState.resolve(true);
    this.#checkBefore(before);
    this.#isHostUndone = false;
    shutdown.add("host", async () => {
      await host.undo();
      this.#isHostUndone = true;
    });
    const data = openDataPlane({
      tunName: order.tunName,
      mtu: TUNNEL_MTU,
      udpPort: order.udpPort ?? before?.snapshot.udpPort ?? 0,
      backend: order.backend,
    });
    shutdown.add("engine", () => data.close());
    const { tunName, udpPort, mtu, backend } = data.info;
    const onMapped = (endpoints: readonly Endpoint[]): void => this.#started().driver.dispatch({ type: "port-mapped", endpoints });
    const mapper =
      order.noPortMap === true ? undefined : new PortMapper({ udpPort, clock, random, log: log.child({ part: "nat" }), onMapped });
    shutdown.add("port mapper", () => mapper?.close());
    const view = await host.observe(tunName);
    const port = order.tcpRelay ?? before?.snapshot.tcpRelay ?? 0;
    const tcpTransport = await openTcpTransport({
      port,
      enginePort: udpPort,
      clock,
      log: log.child({ part: "tcp" }),
      signal: shutdown.signal,
    });
    shutdown.add("tcp ways", () => tcpTransport.close());
    const documents = before ?? (await this.#becomeMember(view, udpPort, tcpTransport));

    const node = new MeshNode({
      crypto,
      random,
      key: crypto.signingKey(documents.identity),
      ...(documents.root !== undefined && { root: crypto.signingKey(documents.root) }),
      snapshot: { ...documents.snapshot, udpPort, tcpRelay: port, ...(order.relayLimit !== undefined && { relayLimit: order.relayLimit }) },
      records: documents.records,
      device: { name: tunName, mtu, backend },
      host: view,
    });
    const driver = new NodeDriver<NodeEvent, NodeEffect>({
      machine: node,
      clock,
      perform: (effect) => this.#perform(effect),
      timerEvent: { type: "timer" },
      beforeTimer: () => data.tellStamps(),
      wallClockEvent: (offset) => ({ type: "wall-clock", offset }),
      onFatal: (error) => void shutdown.fail(error),
    });
    const writes = new LastingWrites({
      store,
      clock,
      onDurable: (id) => driver.dispatch({ type: "persisted", id }),
      onFailed: (document, error) => this.#unwritten(document, error),
    });
    const listen = order.listen === undefined ? undefined : parseEndpoint(order.listen);
    const control = await openControlPlane({
      seed: documents.identity,
      port: documents.snapshot.tcpPort,
      listen,
      topic: `/mesh/records/1/${node.trust.network}`,
      queries: node.queries,
      onEvent: (event) => {
        driver.dispatch(event);
        if (event.type === "link-up") this.#firstLink.resolve();
      },
      clock,
      log: log.child({ part: "control" }),
      busyResponse: encodeJoinResponse({ outcome: "refused", reason: "busy" }),
    });
    shutdown.add("control", () => control.close());
    this.#running = { node, driver, data, control, host, writes, mapper, tcpTransport };
    tcpTransport.start(control.port, listen, (event) => driver.dispatch(event));
    shutdown.add("node", async () => {
      driver.dispatch({ type: "stopping", isWanted: !shutdown.hasFailed });
      // A goodbye waits for a write that may never come.
      if (writes.trouble !== undefined) this.#stopped.resolve();
      await this.#stopped.promise;
      await writes.close().finally(() => driver.stop());
    });

    driver.start();
    driver.dispatch({ type: "started", tcpPort: control.port });
    mapper?.hostChanged(view);
    data.start({
      clock,
      onException: (exception) => {
        driver.dispatch(exception);
        // Without its engine a node carries nothing: it ends, so that its peers notice and whoever watches it starts it again.
        if (exception.type === "engine-failed") void shutdown.fail(new Error(`the packet engine stopped: ${exception.reason}`));
      },
      onTraffic: (peers) => driver.dispatch({ type: "traffic", peers }),
    });
    shutdown.add(
      "host watch",
      host.watch(tunName, (changed) => {
        driver.dispatch({ type: "host", host: changed });
        // After it: a host without addresses tells nothing, and that a mapping went with them is no news of its own.
        mapper?.hostChanged(changed);
        control.networkChanged();
        tcpTransport.networkChanged();
      }),
    );
    await this.#linkApplied;
    shutdown.signal.throwIfAborted();
    this.#keepsState.resolve(true);
    channel.step(`tunnel ${tunName} is up, UDP port ${udpPort}`);
    if (documents.snapshot.hasLeft) return await this.#finishLeaving();
    if (order.command === "join") await this.#waitForFirstPath();
    log.info({ network: node.trust.network, node: node.id, device: tunName, endpoint: `udp ${udpPort}, tcp ${control.port}` }, "serving");
  }

  /** `init` and `join` make a member of a host that is none yet; `up` starts the member that is there. */
  #checkBefore(before: NodeDocuments | undefined): void {
    const { order, files, network } = this.#parts;
    const details = { directory: files.directory };
    if (before?.snapshot.hasLeft === true) return;
    if (order.command === "up") {
      if (before !== undefined) return;
      const hint = "Make a network with `mesh init`, or join one with `mesh join <invite>`.";
      throw new MeshError("state/missing", `This host is not a member of a network named ${network}.`, details, { hint });
    }
    if (before === undefined) return;
    const hint = `Start it with \`mesh up --network ${network}\`; or keep both apart with --state.`;
    throw new MeshError("state/exists", `This host is a member of a network named ${network} already.`, details, { hint });
  }

  async #becomeMember(host: HostView, udpPort: number, tcpTransport: TcpTransport): Promise<NodeDocuments> {
    const { order, invite, network, store, clock, log, channel, shutdown } = this.#parts;
    const outcome = await becomeMember({
      order,
      invite,
      network,
      store,
      crypto,
      random,
      clock,
      hostName: hostName(),
      host,
      udpPort,
      signal: shutdown.signal,
      ask: ({ member: invited, ...rest }) =>
        tcpTransport.ask(invited, (member, signal) => askToJoin({ ...rest, member, signal, clock, log })),
      onStep: (text) => channel.step(text),
    });
    // A network just made, which nobody else knows, is nobody's loss until it serves.
    if (outcome.isKnown) this.#keepsState.resolve(true);
    if (!outcome.ok) throw outcome.error;
    return outcome.documents;
  }

  /** A membership that was never finished, or one that this node has ended. */
  async #discardUseless(): Promise<void> {
    const { isNew, files } = this.#parts;
    const isUseless = this.#hasLeft || (isNew && !(await this.#keepsState.promise));
    if (!isUseless) return;
    if (this.#hasLeft && !this.#isHostUndone) return await discardMembership(files.directory);
    this.#parts.closeLog();
    await discardStateDirectory(files.directory);
  }

  /** It was killed after it had decided to leave, and perhaps before anybody heard of it: that is made up for. Always throws. */
  async #finishLeaving(): Promise<never> {
    const { files, network } = this.#parts;
    await this.#within(FIRST_LINK_TIMEOUT, this.#firstLink.promise);
    const result = await this.#command({ type: "leave", isForced: true });
    if (result.type !== "leave") throw unexpected(result);
    this.#hasLeft = true;
    const hint = "What was left of it here is deleted now. To come back: `mesh join` with a new invite.";
    throw new MeshError("state/missing", `This node has left the network ${network}.`, { directory: files.directory }, { hint });
  }

  async #within(timeout: Millis, event: Promise<void>): Promise<void> {
    const { clock } = this.#parts;
    const { promise: tooLong, resolve } = Promise.withResolvers<void>();
    const cancel = clock.at(clock.now() + timeout, resolve);
    await Promise.race([event, tooLong]);
    cancel();
  }

  async #waitForFirstPath(): Promise<void> {
    const { channel } = this.#parts;
    await this.#within(FIRST_PATH_TIMEOUT, this.#firstPath.promise);
    const peer = this.#view((node, sources) => node.status(sources)).peers.find(({ rttMs }) => rttMs !== undefined);
    channel.step(peer === undefined ? "no path to a member yet: it is looked for" : `${peer.name} answers: ${peer.path}`);
  }

  #calls(): NodeCalls {
    const { shutdown } = this.#parts;
    return {
      view: (read) => this.#view(read),
      command: (command) => this.#command(command),
      down: () => void shutdown.stop("mesh down"),
      left: () => {
        this.#hasLeft = true;
        void shutdown.stop("mesh leave");
      },
      fail: (error) => void shutdown.fail(error),
    };
  }

  /** Nothing is promised that is not durable: who waits for a command hears why, and an end waits for no goodbye. */
  #unwritten(document: StoreDocument, error: unknown): void {
    const { log, shutdown } = this.#parts;
    log.error({ err: error }, "this node's state cannot be written; it is tried again");
    // What was learnt of others is nobody's promise.
    if (document === "records") return;
    if (error instanceof MeshError)
      for (const { type, resolve } of this.#commands.values()) if (!PASSING.has(type)) resolve({ type: "failed", error });
    if (shutdown.signal.aborted) this.#stopped.resolve();
  }

  #view<T>(read: (node: MeshNode, sources: ViewSources) => T): T {
    const { node, data, host, writes, mapper, tcpTransport } = this.#serving();
    return read(node, {
      now: this.#parts.clock.now(),
      traffic: (slot) => data.traffic(slot),
      datapathCounters: data.counters(),
      natCounters: mapper?.counters(),
      portMapping: mapper?.view(),
      tcpWayCounters: tcpTransport.counters(),
      guard: host.guard(),
      unwritten: writes.trouble,
    });
  }

  #command(command: NodeCommand): Promise<CommandResult> {
    const { driver } = this.#serving();
    const id = ++this.#lastCommand;
    const { promise, resolve } = Promise.withResolvers<CommandResult>();
    this.#commands.set(id, { type: command.type, resolve });
    driver.dispatch({ type: "command", id, command });
    return promise;
  }

  /** For calls from outside: what they would show or begin is over when the agent stops. */
  #serving(): Running {
    const { files, shutdown } = this.#parts;
    if (!shutdown.signal.aborted) return this.#started();
    const hint = "When it is gone, `mesh up` starts it again.";
    throw new MeshError("agent/not-running", "The agent is stopping.", { socket: files.socket }, { hint });
  }

  #started(): Running {
    if (this.#running !== undefined) return this.#running;
    const { socket } = this.#parts.files;
    throw new MeshError("agent/not-running", "The agent is still starting.", { socket }, { hint: "Try again in a moment." });
  }

  #perform(effect: NodeEffect): void {
    const { log } = this.#parts;
    const { driver, data, control, host, writes, tcpTransport } = this.#started();
    switch (effect.type) {
      case "set-ways":
        data.perform(effect);
        if (effect.ways.length > 0) this.#firstPath.resolve();
        return;
      case "set-handshake-key":
      case "publish-table":
      case "set-relay":
      case "install-session":
      case "drop-session":
      case "send-keepalive":
      case "send-datagram":
      case "close-sockets":
        return data.perform(effect);
      case "open-tcp-way":
      case "close-tcp-way":
        return tcpTransport.perform(effect);
      case "open-sockets":
        return driver.dispatch({ type: "sockets-opened", sockets: data.openSockets(effect.count) });
      case "connect":
        return control.connect(effect.node, effect.endpoints);
      case "disconnect":
        return control.disconnect(effect.node);
      case "publish-record":
        return control.publish(effect.record);
      case "settle":
        void control.settle(effect.within).then((members) => driver.dispatch({ type: "settled", id: effect.id, members }));
        return;
      case "stopped":
        return this.#stopped.resolve();
      case "answer-join":
        return control.answerJoin(effect.id, effect.response);
      case "carry-join":
        return control.carryJoin(effect.id, effect.issuer, effect.request);
      case "apply-link": {
        const { tunName: device, mtu } = data.info;
        this.#linkApplied = host.applyLink({ device, mtu, addresses: effect.addresses, routes: effect.routes });
        // The first plan is awaited by the start, which fails with it; a later one is tried again at the host's next change.
        this.#linkApplied.catch((err: unknown) => log.error({ err, device }, "the tunnel's addresses and routes are not as planned"));
        return;
      }
      case "persist":
        return writes.write(effect.document, effect.bytes, effect.id);
      case "command-result":
        this.#commands.get(effect.id)?.resolve(effect.result);
        this.#commands.delete(effect.id);
        return;
      case "log":
        return log[effect.level](effect.fields, effect.message);
    }
  }
}

function requireRoot({ process }: AgentOptions): void {
  if (process.geteuid?.() === 0) return;
  const action = "make a network device and set its addresses";
  throw new MeshError("host/not-root", `Root is needed to ${action}.`, { action }, { hint: "Run it with sudo." });
}
