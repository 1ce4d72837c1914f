import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import type { Millis } from "../time/millis.ts";
import { datagramKind } from "../wire/datagram-kind.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SequenceDiagram } from "./sequence-diagram.ts";
import type { SimClock } from "./sim-clock.ts";

/** How every pair of hosts is joined, unless cut. */
export interface LinkQuality {
  /** One way. */
  readonly latency: Millis;
  /** Added at random, 0 to this: datagrams overtake each other. */
  readonly jitter: Millis;
  readonly loss: number; // 0 to 1
  readonly duplication: number; // 0 to 1
}

export type Receiver = (from: Endpoint, bytes: Uint8Array) => void;

interface Host {
  readonly name: string;
  readonly receive: Receiver;
}

/** A flat IP network between simulated hosts: latency, loss, reordering, duplicates, cuts between any two. */
export class SimNetwork {
  readonly diagram: SequenceDiagram;
  quality: LinkQuality;
  readonly #clock: SimClock;
  readonly #random: SeededRandom;
  readonly #hosts = new Map<string, Host>();
  readonly #cuts = new Set<string>();
  /** Sees every datagram that is sent: a tap for attackers in tests. */
  onDatagram: ((from: Endpoint, to: Endpoint, bytes: Uint8Array) => void) | undefined;

  constructor(options: {
    readonly clock: SimClock;
    readonly random: SeededRandom;
    readonly diagram: SequenceDiagram;
    readonly quality: LinkQuality;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.diagram = options.diagram;
    this.quality = options.quality;
  }

  /** Binds a UDP socket. Returns a function that closes it. */
  bind(name: string, endpoint: Endpoint, receive: Receiver): () => void {
    const key = formatEndpoint(endpoint);
    const host = { name, receive };
    this.#hosts.set(key, host);
    return () => {
      if (this.#hosts.get(key) === host) this.#hosts.delete(key);
    };
  }

  cut(a: string, b: string): void {
    this.#cuts.add(pair(a, b));
  }

  heal(a: string, b: string): void {
    this.#cuts.delete(pair(a, b));
  }

  healAll(): void {
    this.#cuts.clear();
  }

  isCut(a: string, b: string): boolean {
    return this.#cuts.has(pair(a, b));
  }

  send(from: Endpoint, to: Endpoint, bytes: Uint8Array): void {
    this.onDatagram?.(from, to, bytes);
    const sender = this.#hosts.get(formatEndpoint(from))?.name ?? formatEndpoint(from);
    const target = this.#hosts.get(formatEndpoint(to));
    const copies = this.#random.next() < this.quality.duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const isLost = target === undefined || this.isCut(sender, target.name) || this.#random.next() < this.quality.loss;
      const text = `${datagramKind(bytes)} ${bytes.length} B`;
      this.diagram.add({ at: this.#clock.now(), from: sender, to: target?.name ?? formatEndpoint(to), text, isLost });
      if (isLost) continue;
      const delay = this.quality.latency + this.#random.next() * this.quality.jitter;
      const arrived = bytes.slice();
      this.#clock.at(this.#clock.now() + delay, () => this.#hosts.get(formatEndpoint(to))?.receive(from, arrived));
    }
  }
}

function pair(a: string, b: string): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}
