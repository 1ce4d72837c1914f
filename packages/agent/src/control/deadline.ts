import type { Clock, Millis } from "@mesh/core/ports";

export interface DeadlineOptions {
  readonly clock: Clock;
  readonly timeout: Millis;
  /** Aborting it aborts the work too. */
  readonly signal?: AbortSignal | undefined;
}

/** The work took longer than it may. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/**
 * Runs `work` with a signal that is aborted when time is up or `signal` is. It rejects then at once, whether or not the
 * work obeys. Listeners and timer are gone when it returns: a signal composed with one of long life is kept as long as
 * that one, a leak that users of libp2p had (Lodestar #8969).
 */
export async function withDeadline<T>(options: DeadlineOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { clock, timeout, signal } = options;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const gaveUp = Promise.withResolvers<never>();
  const giveUp = (reason: unknown): void => {
    controller.abort(reason);
    gaveUp.reject(reason);
  };
  const onAbort = (): void => giveUp(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const cancel = clock.at(clock.now() + timeout, () => giveUp(new DeadlineError(`took longer than ${timeout} ms`)));
  try {
    return await Promise.race([work(controller.signal), gaveUp.promise]);
  } finally {
    cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}
