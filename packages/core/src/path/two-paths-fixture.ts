// Two machines that look for each other through their NATs, with a relay that reaches both.
import assert from "node:assert/strict";
import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import type { SeededRandom } from "../testing/seeded-random.ts";
import type { Millis } from "../time/millis.ts";
import { type Candidate, direct } from "./candidate.ts";
import { at, R } from "./path-run-fixture.ts";
import { NEW_PATH, type PathEffect, type PathEvent, type PeerPath, pathWakeAt } from "./path-state.ts";
import { stepPath } from "./step-path.ts";

/** In one call; an hour of two peers that talk takes a tenth of it. */
const MAX_STEPS = 100_000;

/** What a NAT or firewall lets in, by the filtering of RFC 4787: anything, or only what answers. Mapping is endpoint-independent. */
export type Filtering = "open" | "dependent";

export interface TwoPathsOptions {
  readonly random: SeededRandom;
  /** One way: at least and at most. */
  readonly delay: readonly [Millis, Millis];
  readonly loss: number; // 0 to 1
  /** Endpoints of each, of which the last is where it can be reached. */
  readonly endpoints: readonly [number, number];
  readonly filtering: readonly [Filtering, Filtering];
}

type Message =
  | { readonly type: "ping"; readonly sentAt: Millis; readonly to: Candidate }
  | { readonly type: "pong"; readonly sentAt: Millis; readonly asked: Candidate }
  | { readonly type: "offer"; readonly isAnswer: boolean }
  | { readonly type: "data" };

export class Machine {
  peer: PeerPath;
  readonly own: readonly Endpoint[];
  /** Where it is seen by others. */
  readonly outside: Endpoint;
  readonly filtering: Filtering;
  /** Places that its NAT lets answers in from. */
  readonly opened = new Set<string>();
  used: readonly Candidate[] = [];
  dataSentAt: Millis = 0;
  dataReceivedAt: Millis = 0;
  authenticatedReceivedAt: Millis = 0;
  /** PINGs, PONGs and offers sent, ever and since its search began; and the most of one search. */
  sent = 0;
  inRound = 0;
  mostInRound = 0;

  constructor(own: readonly Endpoint[], peers: readonly Endpoint[], filtering: Filtering) {
    this.own = own;
    this.outside = own.at(-1) ?? assert.fail();
    this.filtering = filtering;
    this.peer = { ...NEW_PATH, endpoints: peers, relays: [R] };
  }

  get isSearching(): boolean {
    const { state } = this.peer;
    if (state.name === "probing") return true;
    return (state.name === "relayed" || state.name === "direct") && state.search?.name === "round";
  }
}

/** Both on one clock. Datagrams take their time, overtake each other and get lost; what goes by the relay needs no NAT opened. */
export class TwoPaths {
  now: Millis = 0;
  readonly machines: readonly [Machine, Machine];
  readonly #options: TwoPathsOptions;
  readonly #under: { readonly at: Millis; readonly arrive: () => void }[] = [];

  constructor(options: TwoPathsOptions) {
    this.#options = options;
    const [a, b] = options.endpoints.map((count, side) => Array.from({ length: count }, (_, i) => at(1 + side * 100 + i)));
    assert.ok(a !== undefined && b !== undefined);
    this.machines = [new Machine(a, b, options.filtering[0]), new Machine(b, a, options.filtering[1])];
  }

  step(machine: Machine, event: PathEvent): void {
    const was = machine.isSearching;
    const { peer, effects } = stepPath(machine.peer, event, this.now);
    machine.peer = peer;
    if (!was && machine.isSearching) machine.inRound = 0;
    for (const effect of effects) this.#perform(machine, effect);
  }

  /** Data goes out by whatever is used; the stamps are told as the engine's are. */
  talk(machine: Machine): void {
    machine.dataSentAt = this.now;
    if (machine.used.length === 0) this.step(machine, { type: "wanted" });
    for (const candidate of machine.used) this.#send(machine, candidate, { type: "data" });
    const { dataSentAt, dataReceivedAt, authenticatedReceivedAt } = machine;
    this.step(machine, { type: "traffic", dataSentAt, dataReceivedAt, authenticatedReceivedAt });
  }

  /** Runs to `end`, or until it is so. */
  until(end: Millis, isSo: () => boolean = () => false): void {
    for (let steps = 0; !isSo(); steps++) {
      assert.ok(steps < MAX_STEPS, "a busy loop");
      const wakes = this.machines.map(({ peer }) => pathWakeAt(peer) ?? Number.POSITIVE_INFINITY);
      this.#under.sort((one, other) => one.at - other.at);
      const next = Math.max(this.now, Math.min(this.#under[0]?.at ?? Number.POSITIVE_INFINITY, ...wakes));
      if (next > end) break;
      this.now = next;
      if ((this.#under[0]?.at ?? Number.POSITIVE_INFINITY) <= next) this.#under.shift()?.arrive();
      else for (const machine of this.machines) this.step(machine, { type: "timer" });
    }
    if (!isSo()) this.now = end;
  }

  get isDirect(): boolean {
    return this.machines.every(({ peer }) => peer.state.name === "direct");
  }

  #perform(machine: Machine, effect: PathEffect): void {
    switch (effect.type) {
      case "ping":
        return this.#send(machine, effect.to, { type: "ping", sentAt: this.now, to: effect.to }, effect.ttl);
      case "offer":
        return this.#send(machine, effect.by, { type: "offer", isAnswer: effect.isAnswer });
      case "use":
        machine.used = effect.candidates;
    }
  }

  #send(from: Machine, by: Candidate, message: Message, ttl?: number): void {
    const to = from === this.machines[0] ? this.machines[1] : this.machines[0];
    if (message.type !== "data") {
      from.sent++;
      from.inRound++;
      if (from.isSearching) from.mostInRound = Math.max(from.mostInRound, from.inRound);
    }
    if (by.type === "direct") from.opened.add(formatEndpoint(by.endpoint));
    const { random, loss, delay } = this.#options;
    const [least, most] = delay;
    const hops = by.type === "relay" ? 2 : 1;
    const isLost = ttl !== undefined || random.next() < 1 - (1 - loss) ** hops;
    if (isLost) return;
    this.#under.push({
      at: this.now + hops * (least + random.next() * (most - least)),
      arrive: () => {
        if (by.type === "relay") return this.#receive(to, from, by, message);
        const isThere = formatEndpoint(by.endpoint) === formatEndpoint(to.outside);
        const isLetIn = to.filtering === "open" || to.opened.has(formatEndpoint(from.outside));
        if (isThere && isLetIn) this.#receive(to, from, direct(from.outside), message);
      },
    });
  }

  #receive(machine: Machine, sender: Machine, from: Candidate, message: Message): void {
    switch (message.type) {
      case "ping":
        this.#send(machine, from, { type: "pong", sentAt: message.sentAt, asked: message.to });
        return this.step(machine, { type: "heard", from });
      case "pong":
        return this.step(machine, { type: "answered", candidate: message.asked, rtt: this.now - message.sentAt });
      case "offer":
        return this.step(machine, { type: "offered", from, own: [], reflexive: sender.own, isAnswer: message.isAnswer });
      case "data":
        machine.dataReceivedAt = this.now;
        machine.authenticatedReceivedAt = this.now;
    }
  }
}
