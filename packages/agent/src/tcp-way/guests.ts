/**
 * Places for connections that come in:
 *
 *   accepted      → unproven: PROOF_TIMEOUT for TLS, HTTP and the upgrade
 *   → upgraded    → PROOF_TIMEOUT again, for the engine or the control plane to have something to say to it
 *   → proven      → stays as long as it likes
 *   too fast, or no room made by an unproven one or by a source that has more than its share → refused
 *
 * Strangers push out each other only: of one source at most MAX_UNPROVEN_PER_SOURCE are unproven, and the oldest makes room. A source
 * that has proven itself comes back past the pace of all: who knocks from many addresses keeps out newcomers at most. One member cannot
 * have the whole house: where all places are taken, the source with most of them, a quarter at least, gives its last one up.
 */
import type { Clock, Millis } from "@mesh/core/ports";

/** For each of the two steps; the engine is silent to strangers. */
export const PROOF_TIMEOUT: Millis = 15_000;
/** Members behind one NAT have proven themselves one after the other, and are not counted. */
export const MAX_UNPROVEN_PER_SOURCE = 4;
const MOST_BY_ONE_SOURCE = 1 / 4;
/** Handshakes a second: each costs a millisecond of TLS. */
const MAX_A_SECOND = 50;
const MAX_A_SECOND_PER_SOURCE = 8;
/** Sources that are remembered as proven, and for how long. */
const MAX_KNOWN = 256;
const KNOWN_FOR: Millis = 24 * 60 * 60_000;
const SECOND: Millis = 1_000;

export type GuestRefusal = "tooFast" | "noRoom" | "pushedOut" | "notProven";

interface GuestsOptions {
  readonly clock: Clock;
  readonly max: number;
  onRefused(cause: GuestRefusal): void;
}

/** One connection's place. */
export interface Guest {
  /** It gets PROOF_TIMEOUT once more. */
  upgraded(): void;
  proven(): void;
  /** To be called when its connection is closed, whoever did. */
  left(): void;
}

interface Proven {
  readonly source: string;
  readonly close: () => void;
}

interface Unproven extends Proven {
  cancel: () => void;
}

export class Guests {
  readonly #options: GuestsOptions;
  /** The oldest first. */
  readonly #unproven = new Map<Guest, Unproven>();
  /** The oldest first. */
  readonly #proven = new Map<Guest, Proven>();
  /** When a source proved itself last; the oldest first. */
  readonly #knownAt = new Map<string, Millis>();
  #secondAt = Number.NEGATIVE_INFINITY;
  #thisSecond = 0;
  readonly #thisSecondBySource = new Map<string, number>();

  constructor(options: GuestsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#unproven.size + this.#proven.size;
  }

  /** undefined: it is to be closed at once. `close` is called when its place is taken back. */
  admit(source: string, close: () => void): Guest | undefined {
    if (!this.#isPaced(source)) return this.#refuse("tooFast");
    const ofSource = [...this.#unproven].filter(([, one]) => one.source === source);
    const isFull = this.count >= this.#options.max;
    const taken = isFull ? ([...this.#unproven][0] ?? this.#lastOfGreatest(source)) : undefined;
    const inTheWay = ofSource.length >= MAX_UNPROVEN_PER_SOURCE ? ofSource[0] : taken;
    if (inTheWay !== undefined) this.#takeBack(...inTheWay, "pushedOut");
    else if (isFull) return this.#refuse("noRoom");
    const guest: Guest = {
      upgraded: () => this.#await(guest),
      proven: () => this.#prove(guest),
      left: () => this.#forget(guest),
    };
    this.#unproven.set(guest, { source, close, cancel: () => {} });
    this.#await(guest);
    return guest;
  }

  close(): void {
    for (const guest of [...this.#unproven.keys()]) this.#forget(guest);
    this.#proven.clear();
  }

  #await(guest: Guest): void {
    const unproven = this.#unproven.get(guest);
    if (unproven === undefined) return;
    unproven.cancel();
    const { clock } = this.#options;
    unproven.cancel = clock.at(clock.now() + PROOF_TIMEOUT, () => this.#takeBack(guest, unproven, "notProven"));
  }

  #prove(guest: Guest): void {
    const unproven = this.#unproven.get(guest);
    if (unproven === undefined) return;
    unproven.cancel();
    this.#unproven.delete(guest);
    this.#proven.set(guest, unproven);
    this.#remember(unproven.source);
  }

  #remember(source: string): void {
    this.#knownAt.delete(source);
    this.#knownAt.set(source, this.#options.clock.now());
    const oldest = this.#knownAt.size > MAX_KNOWN ? this.#knownAt.keys().next().value : undefined;
    if (oldest !== undefined) this.#knownAt.delete(oldest);
  }

  #forget(guest: Guest): void {
    this.#unproven.get(guest)?.cancel();
    this.#unproven.delete(guest);
    this.#proven.delete(guest);
  }

  /** Of the source with most places, where those are more than its share. */
  #lastOfGreatest(newcomer: string): readonly [Guest, Proven] | undefined {
    const bySource = new Map<string, (readonly [Guest, Proven])[]>();
    for (const one of this.#proven) bySource.set(one[1].source, [...(bySource.get(one[1].source) ?? []), one]);
    const [source, greatest = []] = [...bySource].sort(([, a], [, b]) => b.length - a.length)[0] ?? [];
    return source !== newcomer && greatest.length >= Math.max(2, MOST_BY_ONE_SOURCE * this.#options.max) ? greatest.at(-1) : undefined;
  }

  #takeBack(guest: Guest, { close }: Proven, cause: GuestRefusal): void {
    this.#forget(guest);
    this.#options.onRefused(cause);
    close();
  }

  #refuse(cause: GuestRefusal): undefined {
    this.#options.onRefused(cause);
  }

  #isPaced(source: string): boolean {
    const now = this.#options.clock.now();
    if (now - this.#secondAt >= SECOND) {
      this.#secondAt = now;
      this.#thisSecond = 0;
      this.#thisSecondBySource.clear();
    }
    const ofSource = this.#thisSecondBySource.get(source) ?? 0;
    const isKnown = now - (this.#knownAt.get(source) ?? Number.NEGATIVE_INFINITY) < KNOWN_FOR;
    if (ofSource >= MAX_A_SECOND_PER_SOURCE || (!isKnown && this.#thisSecond >= MAX_A_SECOND)) return false;
    if (!isKnown) this.#thisSecond += 1;
    this.#thisSecondBySource.set(source, ofSource + 1);
    return true;
  }
}
