import type { Clock, Millis } from "@mesh/core/ports";

/** What waited longer is of no use to who sent it, and in its way: TCP inside would take it for a long path and fill it further. */
export const LONGEST_WAIT: Millis = 100;
/** Where nothing leaves at all: 100 ms at 20 Mbit/s. */
export const MAX_WAITING_BYTES: number = 256 * 1_024;

/** Datagrams that wait for a connection to take them. The oldest is dropped first. */
export class DatagramQueue {
  readonly #clock: Clock;
  readonly #onDropped: (count: number) => void;
  #waiting: { readonly bytes: Uint8Array; readonly since: Millis }[] = [];
  #first = 0;
  #waitingBytes = 0;

  constructor(clock: Clock, onDropped: (count: number) => void) {
    this.#clock = clock;
    this.#onDropped = onDropped;
  }

  get bytes(): number {
    return this.#waitingBytes;
  }

  push(bytes: Uint8Array): void {
    this.#waiting.push({ bytes, since: this.#clock.now() });
    this.#waitingBytes += bytes.length;
    let dropped = 0;
    while (this.#waitingBytes > MAX_WAITING_BYTES && this.#take() !== undefined) dropped += 1;
    if (dropped > 0) this.#onDropped(dropped);
  }

  /** The oldest that is still worth sending. */
  shift(): Uint8Array | undefined {
    const oldest = this.#clock.now() - LONGEST_WAIT;
    let dropped = 0;
    let next = this.#take();
    for (; next !== undefined && next.since < oldest; next = this.#take()) dropped += 1;
    if (dropped > 0) this.#onDropped(dropped);
    return next?.bytes;
  }

  #take(): { readonly bytes: Uint8Array; readonly since: Millis } | undefined {
    const next = this.#waiting[this.#first];
    if (next === undefined) return undefined;
    this.#first += 1;
    this.#waitingBytes -= next.bytes.length;
    // What is gone is let go of in one go, so that taking costs the same however many wait.
    if (this.#first === this.#waiting.length || this.#first > 1_024) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    return next;
  }
}
