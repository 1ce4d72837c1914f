import type { ControlEvent } from "@mesh/core/ports";

/**
 * Reports events in order, never from inside a call of whoever receives them (core would be entered while it is at
 * work), and none after `close`.
 */
export class EventQueue {
  readonly #receive: (event: ControlEvent) => void;
  #waiting: ControlEvent[] = [];
  #isClosed = false;

  constructor(receive: (event: ControlEvent) => void) {
    this.#receive = receive;
  }

  push(event: ControlEvent): void {
    if (this.#isClosed) return;
    this.#waiting.push(event);
    if (this.#waiting.length === 1) queueMicrotask(() => this.#flush());
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
  }

  #flush(): void {
    for (let i = 0; i < this.#waiting.length; i++) {
      const event = this.#waiting[i];
      if (event !== undefined) this.#receive(event);
    }
    this.#waiting = [];
  }
}
