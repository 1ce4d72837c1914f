/**
 * Which links exist, and the dialling that keeps them. A connection comes from either side:
 *
 *   dialled:   connect → race of the endpoints → opened
 *   accepted:  opened
 *   both:      opened → (of several one is chosen) → usable → the first usable one of a node is its link: link-up
 *              → closed → the last one of a node is gone: link-down, dialled again when it is wanted
 *
 * | wanted | connections        | what happens                                                        |
 * |--------|--------------------|---------------------------------------------------------------------|
 * | yes    | none               | dials at once, then after 1, 2, 4, 8, 10, 10 … s, for ever          |
 * | yes    | one or more        | nothing; lost after 10 s or more: as from the start, sooner: backs off |
 * | no     | one or more        | kept: the other side wants it                                       |
 *
 * Other endpoints are dialled at once too; when they change again within 10 s, at the next attempt.
 * A connection that is not usable after 8 s is closed, and so is one that leaves a ping unanswered for 16 s; each gets one every 10 s.
 * When the host's network changed, or the host slept:
 *
 *   what is not linked       → is dialled at once
 *   what is linked           → is pinged; no answer in 250 ms: dialled beside it, and of both the newest stays (connection-choice.ts)
 *                              no answer in 1.5 s: closed
 */
import { type Clock, type Endpoint, type Millis, type NodeId, sameEndpoint } from "@mesh/core/ports";
import { choiceGrace, chooseConnection } from "./connection-choice.ts";
import { DeadlineError, withDeadline } from "./deadline.ts";
import { raceEndpoints } from "./race-endpoints.ts";

/** One encrypted connection to a member, whoever dialled it. */
export interface MemberConnection {
  readonly node: NodeId;
  /** The member's address as seen here. */
  readonly remote: Endpoint;
  readonly dialled: boolean;
  readonly openedAt: Millis;
  /** Resolves when the other side answers; rejects when `signal` is aborted, or when it cannot be asked. */
  ping(signal: AbortSignal): Promise<void>;
  /** Closes it at once. `closed` is reported through the same way as any other loss. */
  abort(reason: string): void;
}

interface LinksOptions {
  readonly self: NodeId;
  readonly clock: Clock;
  /** Opens a connection; it is also reported with `opened`. */
  dial(node: NodeId, endpoint: Endpoint, signal: AbortSignal): Promise<MemberConnection>;
  /** Nodes for which this is false are not dialled, but may be later. */
  mayDial(node: NodeId): boolean;
  onUp(connection: MemberConnection): void;
  onDown(node: NodeId): void;
  /** One of several connections is gone, others stay. */
  onReduced(node: NodeId): void;
  onDialFailed(node: NodeId, error: unknown): void;
}

/** Waits before the second, third … attempt. A peer that comes back is linked within 10 s, and a dead one costs one SYN in 10 s. */
const REDIAL_AFTER: readonly Millis[] = [1_000, 2_000, 4_000, 8_000, 10_000];
/** A link that lasted this long was a good one: when it is lost, the dialling starts afresh. A shorter one may be closed by its other end each time. */
export const LASTING_AFTER: Millis = 10_000;
/** Identify takes 5 s at most. */
export const USABLE_TIMEOUT: Millis = 8_000;
/** For an answer after the host's network changed: a round trip, and one retransmission by TCP (RFC 6298: 1 s at first). */
export const PING_PATIENCE: Millis = 1_500;
/** A link that has not answered by then is probably dead, and a second one costs little: most round trips are shorter. */
export const BESIDE_AFTER: Millis = 250;
/** Between pings of every connection: its other end may be frozen, or gone without a word. A ping is 30 bytes each way and costs 0.1 ms. */
export const PING_INTERVAL: Millis = 10_000;
/** For the answer to one of these: several retransmissions by TCP, and a megabyte that is on its way before it. */
export const PING_TIMEOUT: Millis = 15_000;
/** More, after a time that the host may have slept through: what came meanwhile is read first. */
export const PING_GRACE: Millis = 1_000;
/** Endpoints of one attempt: with 250 ms of head start each, the last begins after 2 s. */
export const MAX_DIALLED_ENDPOINTS = 8;

/** Endpoints that change again sooner do not hasten the dialling: whose they are is only what a member's record says. */
export const ENDPOINTS_SETTLE: Millis = 10_000;

interface Target {
  endpoints: readonly Endpoint[];
  /** When they last changed; not yet: long ago. */
  changedAt: Millis;
  failures: number;
  /** Ends the attempt or the wait that is under way. */
  stop: (() => void) | undefined;
}

interface Peer {
  readonly connections: Set<MemberConnection>;
  isUp: boolean;
  openedAt: Millis;
  cancelChoice: () => void;
}

export class Links {
  readonly #options: LinksOptions;
  readonly #targets = new Map<NodeId, Target>();
  readonly #peers = new Map<NodeId, Peer>();
  readonly #usableTimers = new Map<MemberConnection, () => void>();
  /** Being pinged since the host's network changed. */
  readonly #pinged = new Set<MemberConnection>();
  /** Closed because they did not answer that ping. */
  readonly #silent = new Set<MemberConnection>();
  #cancelBeside: () => void = () => {};
  readonly #partings = new Set<() => void>();
  /** While there are connections. */
  #cancelPings: (() => void) | undefined;
  readonly #closing = new AbortController();

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  connect(node: NodeId, endpoints: readonly Endpoint[]): void {
    if (this.#closing.signal.aborted || node === this.#options.self) return;
    const known = this.#targets.get(node);
    if (known !== undefined && sameEndpoints(known.endpoints, endpoints)) return;
    const now = this.#options.clock.now();
    if (known !== undefined && now - known.changedAt < ENDPOINTS_SETTLE) {
      known.endpoints = endpoints;
      known.changedAt = now;
      return;
    }
    known?.stop?.();
    const changedAt = known === undefined ? Number.NEGATIVE_INFINITY : now;
    const target: Target = { endpoints, changedAt, failures: 0, stop: undefined };
    this.#targets.set(node, target);
    this.#dial(node, target);
  }

  /** Dials no more, and hangs up at once or, unless it is wanted again, after a while. */
  disconnect(node: NodeId, after: Millis = 0): void {
    this.#targets.get(node)?.stop?.();
    this.#targets.delete(node);
    if (after === 0) return this.hangUp(node, "disconnected");
    const { clock } = this.#options;
    const cancel = clock.at(clock.now() + after, () => {
      this.#partings.delete(cancel);
      if (!this.#targets.has(node)) this.hangUp(node, "disconnected");
    });
    this.#partings.add(cancel);
  }

  /** Closes what there is; what is wanted is dialled again as after any other loss. */
  hangUp(node: NodeId, reason: string): void {
    for (const connection of [...(this.#peers.get(node)?.connections ?? [])]) connection.abort(reason);
  }

  /** Old addresses may be gone: what they carried is checked, and what waits or hangs is dialled from the new ones. */
  networkChanged(): void {
    if (this.#closing.signal.aborted) return;
    const { clock } = this.#options;
    for (const { connections } of this.#peers.values()) for (const connection of connections) void this.#check(connection);
    for (const [node, target] of this.#targets) {
      if (this.#peers.has(node)) continue;
      target.stop?.();
      target.failures = 0;
      this.#dial(node, target);
    }
    this.#cancelBeside();
    this.#cancelBeside = clock.at(clock.now() + BESIDE_AFTER, () => this.#dialBeside());
  }

  opened(connection: MemberConnection): void {
    if (this.#closing.signal.aborted) {
      connection.abort("closed");
      return;
    }
    const { clock } = this.#options;
    const { node } = connection;
    const peer = this.#peers.get(node) ?? { connections: new Set(), isUp: false, openedAt: clock.now(), cancelChoice: () => {} };
    this.#peers.set(node, peer);
    peer.connections.add(connection);
    const giveUp = (): void => connection.abort("not usable in time");
    this.#usableTimers.set(connection, clock.at(clock.now() + USABLE_TIMEOUT, giveUp));
    this.#chooseLater(node, peer);
    if (this.#cancelPings === undefined) this.#pingLater();
  }

  /** Encrypted, identified, gossip flows. */
  usable(connection: MemberConnection): void {
    const peer = this.#peers.get(connection.node);
    if (peer?.connections.has(connection) !== true) return;
    this.#usableTimers.get(connection)?.();
    this.#usableTimers.delete(connection);
    if (peer.isUp) return;
    peer.isUp = true;
    this.#options.onUp(connection);
  }

  closed(connection: MemberConnection): void {
    this.#usableTimers.get(connection)?.();
    this.#usableTimers.delete(connection);
    const wasSilent = this.#silent.delete(connection);
    const { node } = connection;
    const peer = this.#peers.get(node);
    if (peer?.connections.delete(connection) !== true) return;
    if (peer.connections.size > 0) {
      this.#options.onReduced(node);
      return;
    }
    peer.cancelChoice();
    this.#peers.delete(node);
    if (peer.isUp) this.#options.onDown(node);
    const target = this.#targets.get(node);
    if (target === undefined || target.stop !== undefined) return;
    this.#dialLater(node, target, wasSilent || this.#options.clock.now() - peer.openedAt >= LASTING_AFTER);
  }

  /** The connection to use for something new: the newest. */
  connectionTo(node: NodeId): MemberConnection | undefined {
    return [...(this.#peers.get(node)?.connections ?? [])].at(-1);
  }

  close(): void {
    this.#closing.abort(new Error("closed"));
    for (const { stop } of this.#targets.values()) stop?.();
    this.#targets.clear();
    for (const { cancelChoice } of this.#peers.values()) cancelChoice();
    this.#peers.clear();
    for (const cancel of this.#usableTimers.values()) cancel();
    this.#usableTimers.clear();
    this.#cancelBeside();
    this.#cancelPings?.();
    for (const cancel of this.#partings) cancel();
  }

  #pingLater(): void {
    const { clock } = this.#options;
    this.#cancelPings = clock.at(clock.now() + PING_INTERVAL, () => {
      this.#cancelPings = undefined;
      const connections = [...this.#peers.values()].flatMap((peer) => [...peer.connections]);
      for (const connection of connections) void this.#closeIfSilent(connection, [PING_TIMEOUT, PING_GRACE]);
      if (connections.length > 0) this.#pingLater();
    });
  }

  async #check(connection: MemberConnection): Promise<void> {
    if (this.#pinged.has(connection)) return;
    this.#pinged.add(connection);
    await this.#closeIfSilent(connection, [PING_PATIENCE]);
    this.#pinged.delete(connection);
  }

  /** Never rejects. Silence alone is a dead connection: a reset came from the other side, and is reported when it was the connection's. */
  async #closeIfSilent(connection: MemberConnection, waits: readonly Millis[]): Promise<void> {
    const { signal } = this.#closing;
    const answer = connection.ping(signal);
    answer.catch(() => {});
    let failure: unknown;
    for (const timeout of waits) {
      failure = await withDeadline({ clock: this.#options.clock, timeout, signal }, () => answer).catch((error: unknown) => error);
      if (!(failure instanceof DeadlineError)) return;
    }
    if (!(failure instanceof DeadlineError) || this.#peers.get(connection.node)?.connections.has(connection) !== true) return;
    this.#silent.add(connection);
    connection.abort("it does not answer");
  }

  /** Links of which no connection has answered yet. */
  #dialBeside(): void {
    for (const [node, target] of this.#targets) {
      const connections = [...(this.#peers.get(node)?.connections ?? [])];
      const isSilent = connections.length > 0 && connections.every((connection) => this.#pinged.has(connection));
      if (isSilent && target.stop === undefined) this.#attempt(node, target);
    }
  }

  #dial(node: NodeId, target: Target): void {
    target.stop = undefined;
    if (!this.#peers.has(node)) this.#attempt(node, target);
  }

  #attempt(node: NodeId, target: Target): void {
    const { clock, dial, mayDial, onDialFailed } = this.#options;
    const endpoints = target.endpoints.slice(0, MAX_DIALLED_ENDPOINTS);
    if (endpoints.length === 0 || !mayDial(node)) {
      if (!this.#peers.has(node)) this.#dialLater(node, target, false);
      return;
    }
    const attempt = new AbortController();
    const stop = (): void => attempt.abort(new Error("no longer wanted"));
    target.stop = stop;
    raceEndpoints(endpoints, {
      clock,
      signal: attempt.signal,
      dial: (endpoint, signal) => dial(node, endpoint, signal),
      discard: (late) => late.abort("another endpoint was faster"),
    }).then(
      () => {
        if (target.stop === stop) target.stop = undefined;
        // It may be gone again before its dial was reported as done.
        if (this.#targets.get(node) === target && target.stop === undefined && !this.#peers.has(node)) this.#dialLater(node, target, false);
      },
      (error: unknown) => {
        if (target.stop !== stop) return;
        target.stop = undefined;
        if (this.#closing.signal.aborted || this.#targets.get(node) !== target) return;
        onDialFailed(node, error);
        if (!this.#peers.has(node)) this.#dialLater(node, target, false);
      },
    );
  }

  #dialLater(node: NodeId, target: Target, wasGood: boolean): void {
    const { clock } = this.#options;
    target.failures = wasGood ? 0 : target.failures + 1;
    const wait = REDIAL_AFTER[Math.min(target.failures, REDIAL_AFTER.length) - 1] ?? 0;
    target.stop = clock.at(clock.now() + wait, () => this.#dial(node, target));
  }

  #chooseLater(node: NodeId, peer: Peer): void {
    peer.cancelChoice();
    const connections = [...peer.connections];
    if (connections.length < 2) return;
    const { clock, self } = this.#options;
    peer.cancelChoice = clock.at(clock.now() + choiceGrace(connections, self < node), () => {
      const open = [...peer.connections];
      const kept = chooseConnection(open, self < node);
      for (const connection of open) if (connection !== kept) connection.abort("duplicate connection");
    });
  }
}

function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  return a.length === b.length && a.every((endpoint, i) => sameEndpoint(endpoint, b[i]));
}
