import type { MessageStream } from "@libp2p/interface";
import type { Clock, ControlEvent, ControlRefusal, Millis } from "@mesh/core/ports";

type Refused = Extract<ControlEvent, { readonly type: "refused" }>;

/** Refusals are reported together after this long: a flood wakes the node ten times a second, not once for each connection. */
export const REPORT_AFTER: Millis = 100;

/**
 * Counts what was not let in. An inbound connection is counted once, when its upgrade fails; whoever knows the cause by
 * then has said it, because libp2p keeps of an encrypter's error nothing but its text.
 */
export class Refusals {
  readonly #clock: Clock;
  readonly #report: (refused: Refused) => void;
  readonly #causes = new WeakMap<MessageStream, ControlRefusal | "none">();
  #counts = new Map<ControlRefusal, number>();
  #cancelReport: (() => void) | undefined;
  #isClosed = false;

  constructor(clock: Clock, report: (refused: Refused) => void) {
    this.#clock = clock;
    this.#report = report;
  }

  count(cause: ControlRefusal): void {
    if (this.#isClosed) return;
    this.#counts.set(cause, (this.#counts.get(cause) ?? 0) + 1);
    this.#cancelReport ??= this.#clock.at(this.#clock.now() + REPORT_AFTER, () => this.#flush());
  }

  /** What an inbound connection is counted as should it fail from now on; "none": it did all it came for. */
  blame(connection: MessageStream, cause: ControlRefusal | "none"): void {
    this.#causes.set(connection, cause);
  }

  /** An inbound connection ends without having become a member's. */
  failed(connection: MessageStream, error: unknown): void {
    const cause = this.#causes.get(connection) ?? causeOf(error);
    if (cause !== "none") this.count(cause);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelReport?.();
  }

  #flush(): void {
    const counts = this.#counts;
    this.#counts = new Map();
    this.#cancelReport = undefined;
    for (const [cause, count] of counts) this.#report({ type: "refused", cause, count });
  }
}

/** By the names of libp2p 3's errors: of its connection manager, and of the gater, which refuses removed nodes alone. */
function causeOf(error: unknown): ControlRefusal {
  const name = error instanceof Error ? error.name : "";
  if (name === "ConnectionDeniedError") return "connection-limit";
  return name === "ConnectionInterceptedError" ? "not-a-member" : "handshake-failed";
}
