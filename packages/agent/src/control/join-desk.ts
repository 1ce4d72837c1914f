import type { Clock, JoinId, Millis, NodeId } from "@mesh/core/ports";

/** Someone's request while core has not answered it. */
export interface PendingJoin {
  readonly id: JoinId;
  readonly request: Uint8Array;
  readonly carriedBy?: NodeId;
}

interface JoinDeskOptions {
  readonly clock: Clock;
  onRequest(request: PendingJoin): void;
  /** Too many wait already; gives the response for whoever comes now. */
  onFull(): Uint8Array | undefined;
}

/** Requests that wait at the same time, direct and carried together: more is an attack, or is asked again a moment later. */
export const MAX_WAITING = 16;

/** Hands join requests to core and gives each its answer. */
export class JoinDesk {
  readonly #options: JoinDeskOptions;
  readonly #waiting = new Map<JoinId, (response: Uint8Array | undefined) => void>();
  #lastId: JoinId = 0;

  constructor(options: JoinDeskOptions) {
    this.#options = options;
  }

  /** Core's response; undefined when it gave none in time, or when the asker went away (`signal`). */
  ask(
    request: Omit<PendingJoin, "id">,
    limits: { readonly timeout: Millis; readonly signal: AbortSignal },
  ): Promise<Uint8Array | undefined> {
    const { clock, onRequest, onFull } = this.#options;
    if (limits.signal.aborted) return Promise.resolve(undefined);
    if (this.#waiting.size >= MAX_WAITING) return Promise.resolve(onFull());
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
    const settle = (response: Uint8Array | undefined): void => {
      cancel();
      limits.signal.removeEventListener("abort", goAway);
      this.#waiting.delete(id);
      resolve(response);
    };
    const goAway = (): void => settle(undefined);
    const cancel = clock.at(clock.now() + limits.timeout, goAway);
    limits.signal.addEventListener("abort", goAway, { once: true });
    this.#waiting.set(id, settle);
    onRequest({ id, ...request });
    return promise;
  }

  /** Unknown ids are ignored: whoever asked is gone. */
  answer(id: JoinId, response: Uint8Array): void {
    this.#waiting.get(id)?.(response);
  }
}
