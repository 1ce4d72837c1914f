// One node's peers, and the peers themselves as far as they answer probes.
import assert from "node:assert/strict";
import { nodeCrypto } from "../../node-crypto.ts";
import { type AddressPlan, addressPlan } from "../address/address-plan.ts";
import type { Endpoint } from "../address/endpoint.ts";
import { parseIp } from "../address/ip.ts";
import { parsePrefix } from "../address/prefix.ts";
import type { Way } from "../address/way.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { type NodeId, nodeId } from "../ids/node-id.ts";
import { direct } from "../path/candidate.ts";
import { type FreeProbe, ProbeExchange } from "../path/probe-exchange.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import type { Millis } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import { datagramKind } from "../wire/datagram-kind.ts";
import { Counters } from "./counters.ts";
import type { NodeEffect } from "./node-effect.ts";
import type { PublishedPlace } from "./peer.ts";
import { Peers } from "./peers.ts";

export const crypto: Crypto = nodeCrypto();
export const plan: AddressPlan = addressPlan(parsePrefix("10.77.0.0/16") ?? assert.fail(), 24, new Uint8Array(32));
/** Behind a NAT, which shows it as PUBLIC. */
export const OWN: Endpoint = at("192.168.1.5");
export const PUBLIC: Endpoint = at("203.0.113.5", 40_000);
export const OWN_NUMBER = 1;

export function at(ip: string, port = 51_820): Endpoint {
  return { ip: parseIp(ip) ?? assert.fail(ip), port };
}

const random = new SeededRandom(1);
const ownKey = crypto.signingKey(random.bytes(32));

type SendDatagram = Extract<NodeEffect, { type: "send-datagram" }>;

export function datagramsOf(effects: readonly NodeEffect[]): readonly SendDatagram[] {
  return effects.filter((effect) => effect.type === "send-datagram");
}

/** Another node, as far as it answers probes. */
export class FarPeer {
  readonly node: NodeId;
  readonly number: number;
  readonly endpoint: Endpoint;
  readonly #key: SigningKey;
  readonly #probes: ProbeExchange;

  constructor(number: number) {
    this.#key = crypto.signingKey(new SeededRandom(100 + number).bytes(32));
    this.node = nodeId(this.#key.publicKey);
    this.number = number;
    this.endpoint = at(`198.51.100.${number}`);
    this.#probes = new ProbeExchange({ crypto, random: new SeededRandom(200 + number), key: crypto.agreementKeyOf(this.#key) });
    this.#probes.addPeer(0, crypto.agreementKeyOf(ownKey).publicKey);
  }

  /** What it shows us when we shall relay for it. */
  get pass(): number {
    return this.#probes.passes(0)?.ours ?? assert.fail();
  }

  ping(): Uint8Array {
    return this.#probes.ping(0, direct(OWN), { purpose: "discover", now: 0 }) ?? assert.fail();
  }

  frame(body: FreeProbe): Uint8Array {
    return this.#probes.frame(0, body) ?? assert.fail();
  }

  offer(endpoints: readonly Endpoint[], isAnswer = false): Uint8Array {
    return (
      this.#probes.frame(0, { type: "offer", mapping: "endpoint-independent", own: [], reflexive: endpoints, isAnswer }) ?? assert.fail()
    );
  }

  recall(afterMillis: Millis, mark = this.number): Uint8Array {
    return this.#probes.frame(0, { type: "recall", token: new Uint8Array(8).fill(mark), afterMillis }) ?? assert.fail();
  }

  recalled(token: Uint8Array): Uint8Array {
    return this.#probes.frame(0, { type: "recalled", token }) ?? assert.fail();
  }

  /** What it makes of a probe of ours that it sees come from `seen`. */
  receive(bytes: Uint8Array, seen: Endpoint = PUBLIC): ReturnType<ProbeExchange["receive"]> {
    return this.#probes.receive({ candidate: direct(seen), endpoint: seen }, bytes, { receivedAt: 0, now: 0 });
  }
}

/** Each world is another boot of the same node: its probes are no copies of those of the last. */
let boots = 1_000;

export class PeersWorld {
  readonly counters: Counters = new Counters();
  /** Peers were asked to call back. */
  #calls: readonly { readonly dueAt: Millis; readonly peer: FarPeer; readonly token: Uint8Array }[] = [];
  readonly peers: Peers;
  own: readonly Endpoint[] = [OWN];
  /** By routers. */
  mapped: readonly Endpoint[] = [];
  now: Millis = 1_000;

  constructor(others: readonly FarPeer[], takesTcp = false) {
    this.peers = new Peers({
      crypto,
      random: new SeededRandom(++boots),
      key: crypto.agreementKeyOf(ownKey),
      counters: this.counters,
      plan,
      stampFloor: 0,
      ownEndpoints: () => this.own,
      mappedEndpoints: () => this.mapped,
      takesTcp: () => takesTcp,
      onPong: () => [],
      onReserve: (until) => this.peers.stampsReserved(until, this.now),
    });
    this.set(others);
    this.peers.wallClock(1_790_000_000_000, this.now);
  }

  set(others: readonly FarPeer[], now: Millis = this.now): readonly NodeEffect[] {
    return this.peers.setPeers(new Map(others.map(({ node, number }) => [node, number])), OWN_NUMBER, now);
  }

  count(name: string): number {
    return this.counters.view()[name] ?? 0;
  }

  stateOf({ node }: FarPeer): string {
    return this.peers.peer(node)?.path.state.name ?? "no peer";
  }

  slotOf({ node }: FarPeer): number {
    return this.peers.slotOf(node) ?? assert.fail();
  }

  publish(peer: FarPeer, place: Partial<PublishedPlace> = {}): readonly NodeEffect[] {
    const said = { own: [], reflexive: [peer.endpoint], isReachable: false, isRelay: false, homes: [], isKept: false, ...place };
    return this.peers.published(peer.node, said, this.now);
  }

  receive(from: Way, bytes: Uint8Array): readonly NodeEffect[] {
    return this.peers.exception({ type: "datagram", from, receivedAt: this.now, bytes }, this.now);
  }

  /** Each PING among these that goes straight to the peer's own address is answered; what that leads to, PONGs after it included. */
  answer(effects: readonly NodeEffect[], peer: FarPeer, seen: Endpoint = PUBLIC): readonly NodeEffect[] {
    return datagramsOf(effects).flatMap(({ way, bytes, ttl }) => {
      const isForIt = way.relay === undefined && way.endpoint.ip === peer.endpoint.ip && ttl === undefined;
      if (!isForIt || datagramKind(bytes) !== "probe") return [];
      const outcome = peer.receive(bytes, seen);
      if (outcome.type === "recall") this.#calls = [...this.#calls, { dueAt: this.now + outcome.afterMillis, peer, token: outcome.token }];
      return outcome.type === "ping" ? this.receive({ endpoint: peer.endpoint }, outcome.pong) : [];
    });
  }

  /** The peer is found where it is, with all that follows. */
  find(peer: FarPeer, place: Partial<PublishedPlace> = {}, seen: Endpoint = PUBLIC): readonly NodeEffect[] {
    const published = this.publish(peer, { isReachable: true, ...place });
    return [...published, ...this.answer([...published, ...this.peers.want(peer.node, this.now)], peer, seen)];
  }

  /** Fires every timer up to `end`; what is asked of these is answered. */
  until(end: Millis, answering: readonly FarPeer[] = [], seen: Endpoint = PUBLIC): readonly NodeEffect[] {
    const all: NodeEffect[] = [];
    const nextAt = (): Millis | undefined => earliest(this.peers.wakeAt(), ...this.#calls.map(({ dueAt }) => dueAt));
    for (let dueAt = nextAt(); dueAt !== undefined && dueAt <= end; dueAt = nextAt()) {
      this.now = Math.max(this.now, dueAt);
      const called = this.#calls.filter((call) => call.dueAt <= this.now);
      this.#calls = this.#calls.filter((call) => call.dueAt > this.now);
      for (const { peer, token } of called) all.push(...this.receive({ endpoint: peer.endpoint }, peer.recalled(token)));
      const effects = this.peers.timer(this.now);
      all.push(...effects, ...answering.flatMap((peer) => this.answer(effects, peer, seen)));
    }
    this.now = end;
    return all;
  }
}

/** `probe 198.51.100.3`, `probe 198.51.100.3 1>2` for number 2 by that relay, ` ttl 4` behind. */
export function formatSent(effects: readonly NodeEffect[]): readonly string[] {
  return datagramsOf(effects).map(({ way, bytes, ttl }) => {
    const relay = way.relay === undefined ? "" : ` ${way.relay.from}>${way.relay.to}`;
    return `${datagramKind(bytes)} ${way.endpoint.ip}${relay}${ttl === undefined ? "" : ` ttl ${ttl}`}`;
  });
}
