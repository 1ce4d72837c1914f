import type { DatapathException } from "@mesh/core/ports";

/** As the native engine's rings: datagrams apart, so that a flood of them leaves room for what sessions need. */
const DATAGRAMS = 1_024;
const EVENTS = 1_024;
/** Handed over in one turn of the event loop: handshakes of some 20 ms, as much as the native engine's batches hold. */
const BATCH = 64;

/** Exceptions on their way to JavaScript: never inside the call or packet that caused them, in batches, bounded. */
export class ExceptionQueue {
  readonly #deliver: (batch: readonly DatapathException[]) => void;
  #waiting: DatapathException[] = [];
  #datagrams = 0;
  #turn: NodeJS.Immediate | undefined;

  constructor(deliver: (batch: readonly DatapathException[]) => void) {
    this.#deliver = deliver;
  }

  /** False when there is no room. */
  push(exception: DatapathException): boolean {
    const isDatagram = exception.type === "datagram";
    if (isDatagram ? this.#datagrams >= DATAGRAMS : this.#waiting.length - this.#datagrams >= EVENTS) return false;
    if (isDatagram) this.#datagrams++;
    this.#waiting.push(exception);
    this.#turn ??= setImmediate(() => this.#next());
    return true;
  }

  /** Forgets what waits. */
  close(): void {
    clearImmediate(this.#turn);
    this.#waiting = [];
    this.#datagrams = 0;
  }

  #next(): void {
    this.#turn = undefined;
    const batch = this.#waiting.splice(0, BATCH);
    this.#datagrams -= batch.filter(({ type }) => type === "datagram").length;
    if (this.#waiting.length > 0) this.#turn = setImmediate(() => this.#next());
    this.#deliver(batch);
  }
}
