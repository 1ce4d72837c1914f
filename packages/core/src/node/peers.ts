import { type AddressPlan, isMeshAddress } from "../address/address-plan.ts";
import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import { isUnicast } from "../address/ip.ts";
import type { AgreementKey, Crypto, Random } from "../crypto/crypto.ts";
import { type NodeId, nodeKey } from "../ids/node-id.ts";
import { NEW_PATH, type PathEvent, type PeerPath, pathWakeAt, stepPath } from "../path/path-monitor.ts";
import { type BootId, ProbeExchange } from "../path/probe-exchange.ts";
import { MAX_PEERS, type NodeException, type PeerSlot } from "../ports/datapath.ts";
import type { SessionEffect, SessionEvent, TrafficStamps } from "../session/session-event.ts";
import { SessionTable } from "../session/session-table.ts";
import type { Millis } from "../time/millis.ts";
import { TokenBucket } from "../time/token-bucket.ts";
import { earliest } from "../time/wake.ts";
import { datagramKind } from "../wire/datagram-kind.ts";
import type { Counters } from "./counters.ts";
import type { NodeEffect } from "./node-effect.ts";
import type { PeerStamps } from "./node-event.ts";
import { SlotTable } from "./slot-table.ts";

/** What is known of one peer, for views and decisions. */
export interface KnownPeer {
  readonly slot: PeerSlot;
  readonly path: PeerPath;
  /** When the keys of the session in use were made; undefined: there is none. */
  readonly sessionAt: Millis | undefined;
  /** Packets went out by the tunnel since then, and none came in: by probes the peer may seem well. */
  readonly unansweredAt: Millis | undefined;
}

/** A peer answered a PING: told to whoever waits for it, beside what it does to the path. */
export interface Pong {
  readonly node: NodeId;
  readonly endpoint: Endpoint;
  readonly rtt: Millis;
}

interface Peer {
  readonly node: NodeId;
  path: PeerPath;
  /** A handshake message that found no path; it leaves when there is one. Only the latest is worth sending. */
  heldHandshake: Uint8Array | undefined;
  /** Of its last PONG. */
  boot: BootId | undefined;
  unansweredAt: Millis | undefined;
  /** PINGs to it and to whatever is said to be it. */
  readonly probeBudget: TokenBucket;
}

/** PINGs for one peer: a probing round over all its candidates goes through at once, a flood of claims does not. */
const PEER_PROBES = { burst: 100, perSecond: 20 };

/** Between failed peers that are tried again when our network changed: with 8 addresses and 5 rounds each, within the budget of all. */
const RETRY_SPACING: Millis = 150;

/**
 * All peers of a node as the data plane sees them: WireGuard sessions, probes and paths. What the engine cannot decide comes
 * in here; endpoints, sessions and datagrams go out.
 */
export class Peers {
  readonly #crypto: Crypto;
  readonly #counters: Counters;
  readonly #plan: AddressPlan;
  /** Over all peers: a tenth of what a home router forwards without noticing, and enough for a mesh of hundreds. */
  readonly #probeBudget = new TokenBucket({ burst: 600, perSecond: 300 });
  readonly #sessions: SessionTable;
  readonly #probes: ProbeExchange;
  readonly #slots = new SlotTable(MAX_PEERS);
  readonly #peers = new Map<PeerSlot, Peer>();
  /** Only of peers whose path has something to wait for: few of many. */
  readonly #pathWakes = new Map<PeerSlot, Millis>();
  readonly #onPong: (pong: Pong) => readonly NodeEffect[];
  readonly #onReserve: (until: Millis) => readonly NodeEffect[];
  /** Where peers saw our datagrams come from, latest word of each. */
  readonly #observed = new Map<NodeId, Endpoint>();

  constructor(options: {
    readonly crypto: Crypto;
    readonly random: Random;
    readonly key: AgreementKey;
    readonly counters: Counters;
    readonly plan: AddressPlan;
    /** The last ceiling of handshake stamps that became durable, as wall time. */
    readonly stampFloor: Millis;
    readonly onPong: (pong: Pong) => readonly NodeEffect[];
    /** Makes this ceiling of handshake stamps durable, then calls {@link stampsReserved}. */
    readonly onReserve: (until: Millis) => readonly NodeEffect[];
  }) {
    this.#crypto = options.crypto;
    this.#counters = options.counters;
    this.#plan = options.plan;
    this.#sessions = new SessionTable(options);
    this.#probes = new ProbeExchange(options);
    this.#onPong = options.onPong;
    this.#onReserve = options.onReserve;
  }

  /**
   * The nodes that are peers from now on; all others lose sessions, probes and slot. Slots are taken before any is given
   * back, so a slot changes hands only over a table without it: what waits in the engine for one peer never goes to another.
   */
  setPeers(nodes: ReadonlySet<NodeId>, now: Millis): readonly NodeEffect[] {
    const gone = [...this.#peers].filter(([, { node }]) => !nodes.has(node));
    const effects: NodeEffect[] = [];
    for (const node of nodes) if (this.#peerOf(node) === undefined) effects.push(...this.#add(node, now));
    for (const [slot, { node }] of gone) effects.push(...this.#remove(slot, node, now));
    return effects;
  }

  slotOf(node: NodeId): PeerSlot | undefined {
    return this.#slots.slotOf(node);
  }

  peer(node: NodeId): KnownPeer | undefined {
    const slot = this.slotOf(node);
    const peer = slot === undefined ? undefined : this.#peers.get(slot);
    if (slot === undefined || peer === undefined) return undefined;
    const session = this.#sessions.view(slot);
    const sessionAt = session?.established === true ? session.establishedAt : undefined;
    return { slot, path: peer.path, sessionAt, unansweredAt: peer.unansweredAt };
  }

  /** Reflexive addresses: where peers saw us, without repetition. */
  observed(): readonly string[] {
    return [...new Set([...this.#observed.values()].map(formatEndpoint))].sort();
  }

  wallClock(offset: Millis, now: Millis): readonly NodeEffect[] {
    return this.#session({ type: "wall-clock", offset }, now);
  }

  stampsReserved(until: Millis, now: Millis): readonly NodeEffect[] {
    return this.#session({ type: "stamps-reserved", until }, now);
  }

  setCandidates(node: NodeId, endpoints: readonly Endpoint[], now: Millis): readonly NodeEffect[] {
    return this.#pathOf(node, { type: "candidates", endpoints }, now);
  }

  /** Someone wants to reach the peer: looks for a path if there is none. */
  want(node: NodeId, now: Millis): readonly NodeEffect[] {
    return this.#pathOf(node, { type: "wanted" }, now);
  }

  /** The peer may be gone: asks it. */
  doubt(node: NodeId, now: Millis): readonly NodeEffect[] {
    return this.#pathOf(node, { type: "doubted" }, now);
  }

  /** Our own addresses or default routes changed. Paths in use are asked at once, those that failed one after the other. */
  networkChanged(now: Millis): readonly NodeEffect[] {
    const effects: NodeEffect[] = [];
    let retryAt = now;
    for (const [slot, { path }] of this.#peers) {
      if (path.state.name === "failed") retryAt += RETRY_SPACING;
      effects.push(...this.#path(slot, { type: "network-changed", retryAt }, now));
    }
    return effects;
  }

  /** The peer said goodbye. */
  stopped(node: NodeId, now: Millis): readonly NodeEffect[] {
    return this.#pathOf(node, { type: "stopped" }, now);
  }

  /** A PING at once over the path in use, beside what the path does by itself. */
  ping(node: NodeId, now: Millis): readonly NodeEffect[] {
    const peer = this.peer(node);
    if (peer === undefined) return [];
    const { state } = peer.path;
    const effects = [...this.want(node, now)];
    if (peer.sessionAt === undefined) effects.push(...this.#session({ type: "session-wanted", slot: peer.slot }, now));
    if (state.name === "direct" || state.name === "suspect")
      effects.push(...this.#ping(peer.slot, state.path.endpoint, { purpose: "heartbeat", now }));
    return effects;
  }

  exception(event: Exclude<NodeException, { type: "engine-failed" }>, now: Millis): readonly NodeEffect[] {
    switch (event.type) {
      case "session-wanted":
        return [...this.#path(event.slot, { type: "wanted" }, now), ...this.#session(event, now)];
      case "session-confirmed":
        return this.#session(event, now);
      case "datagram":
        return this.#datagram(event, now);
    }
  }

  traffic(peers: readonly PeerStamps[], now: Millis): readonly NodeEffect[] {
    return peers.flatMap(({ slot, stamps }) => {
      const peer = this.#peers.get(slot);
      if (peer !== undefined) peer.unansweredAt = unansweredAt(peer.unansweredAt, stamps);
      return [...this.#path(slot, { type: "traffic", ...stamps }, now), ...this.#session({ type: "traffic", slot, stamps }, now)];
    });
  }

  timer(now: Millis): readonly NodeEffect[] {
    const effects: NodeEffect[] = [];
    for (const [slot, dueAt] of [...this.#pathWakes]) if (dueAt <= now) effects.push(...this.#path(slot, { type: "timer" }, now));
    const sessionsDueAt = this.#sessions.wakeAt();
    if (sessionsDueAt !== undefined && sessionsDueAt <= now) effects.push(...this.#session({ type: "timer" }, now));
    return effects;
  }

  wakeAt(): Millis | undefined {
    return earliest(this.#sessions.wakeAt(), ...this.#pathWakes.values());
  }

  #datagram(event: Extract<NodeException, { type: "datagram" }>, now: Millis): readonly NodeEffect[] {
    const { from, bytes, receivedAt } = event;
    // Answering into the mesh would send our packets through our own tunnel, in themselves, without end.
    if (!isUnicast(from.ip) || isMeshAddress(this.#plan, from.ip)) {
      this.#counters.count("udp.sourceNotUsable");
      return [];
    }
    const kind = datagramKind(bytes);
    if (kind === "handshake") return this.#session({ type: "message", from, bytes }, now);
    if (kind !== "probe") {
      this.#counters.count("udp.unknownKind");
      return [];
    }
    const outcome = this.#probes.receive(from, bytes, { receivedAt, now });
    switch (outcome.type) {
      case "dropped":
        this.#counters.count(`probe.${outcome.cause}`);
        return [];
      case "ping": {
        const { slot, boot, pong } = outcome;
        const heard = this.#isFromBeforeGoodbye(slot, boot) ? [] : this.#path(slot, { type: "heard", from }, now);
        const known = this.#peers.get(slot)?.boot;
        const isAsked = heard.some(({ type }) => type === "send-datagram");
        const ask = known === undefined || known === boot || isAsked ? [] : this.#ping(slot, from, { purpose: "triggered", now });
        return [{ type: "send-datagram", to: from, bytes: pong }, ...heard, ...ask];
      }
      case "pong": {
        const { slot, boot, rtt, observed } = outcome;
        const peer = this.#peers.get(slot);
        if (peer === undefined || this.#isFromBeforeGoodbye(slot, boot)) return [];
        const { node } = peer;
        const isRestarted = peer.boot !== undefined && peer.boot !== boot;
        peer.boot = boot;
        this.#observed.set(node, observed);
        return [
          ...this.#path(slot, { type: "answered", endpoint: from, rtt }, now),
          ...(isRestarted ? this.#replaceLost(slot, now) : []),
          ...this.#onPong({ node, endpoint: from, rtt }),
        ];
      }
    }
  }

  /** On the way when the peer said goodbye: it is gone all the same. */
  #isFromBeforeGoodbye(slot: PeerSlot, boot: BootId): boolean {
    const peer = this.#peers.get(slot);
    return peer?.path.state.name === "stopped" && peer.boot === boot;
  }

  /** A peer that started again cannot open what we seal: a new session at once; WireGuard alone would wait 15 s. */
  #replaceLost(slot: PeerSlot, now: Millis): readonly NodeEffect[] {
    return this.#sessions.view(slot)?.established === true ? this.#session({ type: "session-lost", slot }, now) : [];
  }

  #add(node: NodeId, now: Millis): readonly NodeEffect[] {
    const tunnelKey = this.#crypto.agreementPublicKeyOf(nodeKey(node));
    const slot = tunnelKey === undefined ? undefined : this.#slots.take(node);
    if (tunnelKey === undefined || slot === undefined) {
      this.#counters.count("peer.notUsable"); // a key that is no point on the curve, or more peers than slots
      return [];
    }
    const probeBudget = new TokenBucket(PEER_PROBES);
    this.#peers.set(slot, { node, path: NEW_PATH, heldHandshake: undefined, boot: undefined, unansweredAt: undefined, probeBudget });
    this.#probes.addPeer(slot, tunnelKey);
    return this.#session({ type: "peer-added", slot, tunnelKey }, now);
  }

  #remove(slot: PeerSlot, node: NodeId, now: Millis): readonly NodeEffect[] {
    this.#peers.delete(slot);
    this.#pathWakes.delete(slot);
    this.#observed.delete(node);
    this.#slots.release(node);
    this.#probes.removePeer(slot);
    return this.#session({ type: "peer-removed", slot }, now);
  }

  #peerOf(node: NodeId): Peer | undefined {
    const slot = this.slotOf(node);
    return slot === undefined ? undefined : this.#peers.get(slot);
  }

  #pathOf(node: NodeId, event: PathEvent, now: Millis): readonly NodeEffect[] {
    const slot = this.slotOf(node);
    return slot === undefined ? [] : this.#path(slot, event, now);
  }

  #path(slot: PeerSlot, event: PathEvent, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return [];
    const step = stepPath(peer.path, event, now);
    if (step.peer.state.name !== peer.path.state.name) this.#counters.count(`path.${step.peer.state.name}`);
    peer.path = step.peer;
    const wakeAt = pathWakeAt(step.peer);
    if (wakeAt === undefined) this.#pathWakes.delete(slot);
    else this.#pathWakes.set(slot, wakeAt);
    return step.effects.flatMap((effect): readonly NodeEffect[] => {
      if (effect.type === "ping") return this.#ping(slot, effect.to, { purpose: effect.purpose, now });
      const held = peer.heldHandshake;
      peer.heldHandshake = undefined;
      const use: NodeEffect = { type: "set-endpoint", slot, endpoint: effect.endpoint };
      return held === undefined ? [use] : [use, { type: "send-datagram", to: effect.endpoint, bytes: held }];
    });
  }

  #ping(slot: PeerSlot, to: Endpoint, options: Parameters<ProbeExchange["ping"]>[2]): readonly NodeEffect[] {
    const budget = this.#peers.get(slot)?.probeBudget;
    if (budget === undefined) return [];
    // Those for paths in use are few by themselves, and a live peer must not be taken for dead because others are looked for.
    const isShared = options.purpose !== "heartbeat";
    if (!budget.take(options.now) || (isShared && !this.#probeBudget.take(options.now))) {
      this.#counters.count("probe.overBudget");
      return [];
    }
    const bytes = this.#probes.ping(slot, to, options);
    return bytes === undefined ? [] : [{ type: "send-datagram", to, bytes }];
  }

  #session(event: SessionEvent, now: Millis): readonly NodeEffect[] {
    return this.#sessions.handle(event, now).flatMap((effect) => this.#perform(effect, now));
  }

  #perform(effect: SessionEffect, now: Millis): readonly NodeEffect[] {
    switch (effect.type) {
      case "install-session":
      case "drop-session":
      case "send-keepalive":
        return [effect];
      case "reply":
        return [{ type: "send-datagram", to: effect.to, bytes: effect.bytes }];
      case "send-handshake":
        return this.#sendHandshake(effect.slot, effect.bytes, now);
      case "heard":
        // A peer that starts again is asked by PING before it shakes hands.
        if (this.#peers.get(effect.slot)?.path.state.name === "stopped") return [];
        return this.#path(effect.slot, { type: "heard", from: effect.from }, now);
      case "reserve-stamps":
        return this.#onReserve(effect.until);
      case "handshake-failed":
        this.#counters.count("session.handshakeFailed");
        return [];
      case "dropped":
        this.#counters.count(`session.${effect.cause}`);
        return [];
    }
  }

  #sendHandshake(slot: PeerSlot, bytes: Uint8Array, now: Millis): readonly NodeEffect[] {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return [];
    const { state } = peer.path;
    if (state.name === "direct" || state.name === "suspect") return [{ type: "send-datagram", to: state.path.endpoint, bytes }];
    peer.heldHandshake = bytes;
    return this.#path(slot, { type: "wanted" }, now);
  }
}

/** Handshakes do not count: they pass where packets of full size may not. */
function unansweredAt(before: Millis | undefined, stamps: TrafficStamps): Millis | undefined {
  const { dataSentAt, authenticatedReceivedAt } = stamps;
  if (before !== undefined && authenticatedReceivedAt < before) return before;
  return dataSentAt > authenticatedReceivedAt ? dataSentAt : undefined;
}
