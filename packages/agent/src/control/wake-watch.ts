import type { Clock, Millis } from "@mesh/core/ports";

/** While awake. Timers stand still during sleep and the clock does not, so the first tick after it is late by its length. */
export const TICK: Millis = 2_000;
/** A busy process is late too, by less; and one that was stopped for longer has the same to do as one that slept. */
export const SLEPT_AFTER: Millis = 5_000;

interface WakeWatchOptions {
  /** Boot time, which goes on during sleep. */
  readonly clock: Clock;
  onWake(slept: Millis): void;
}

/** Notices that the machine slept. Returns a function that stops the watch. */
export function watchWake({ clock, onWake }: WakeWatchOptions): () => void {
  let isStopped = false;
  let cancel = (): void => {};
  const tick = (dueAt: Millis): void => {
    const late = clock.now() - dueAt;
    const nextAt = clock.now() + TICK;
    cancel = clock.at(nextAt, () => tick(nextAt));
    if (late >= SLEPT_AFTER) onWake(late);
    if (isStopped) cancel();
  };
  const firstAt = clock.now() + TICK;
  cancel = clock.at(firstAt, () => tick(firstAt));
  return () => {
    isStopped = true;
    cancel();
  };
}
