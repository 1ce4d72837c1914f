import type { Clock, Millis } from "@mesh/core/ports";

export interface Deadline {
  /** Aborted when the time is up, or the signal given is. */
  readonly signal: AbortSignal;
  /** Aborts it, if it is not yet, and lets go of timer and listener. */
  end(): void;
}

/** A signal of its own: one composed with a signal of long life is kept as long as that one. */
export function abortAfter(timeout: Millis, { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal }): Deadline {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  const cancel = clock.at(clock.now() + timeout, abort);
  const end = (): void => {
    cancel();
    signal.removeEventListener("abort", abort);
    abort();
  };
  return { signal: controller.signal, end };
}
