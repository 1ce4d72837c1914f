import assert from "node:assert/strict";
import { type Clock, type Millis, seconds } from "@mesh/core/ports";

/**
 * Longest single `setTimeout`. Its clock stands still while the machine sleeps, so after a wake-up a timer that was
 * due meanwhile fires at most this late. Also keeps far below 2^31 - 1 ms, from where on setTimeout fires at once.
 */
const LONGEST_NAP: Millis = seconds(2);

/**
 * `bootNow` is CLOCK_BOOTTIME in milliseconds, which Node cannot read by itself: the engine's. Without it the clock is
 * monotonic and stands still while the machine sleeps.
 */
export function systemClock(bootNow: () => Millis = monotonicNow): Clock {
  return {
    now: bootNow,
    wallNow: () => Date.now(),
    at(dueAt, fn) {
      assert(!Number.isNaN(dueAt), "a timer needs an instant");
      let timer: NodeJS.Timeout | undefined;
      const arm = (): void => {
        timer = setTimeout(nap, Math.min(LONGEST_NAP, Math.max(0, Math.ceil(dueAt - bootNow()))));
      };
      const nap = (): void => {
        if (bootNow() < dueAt) arm();
        else fn();
      };
      arm();
      return () => clearTimeout(timer);
    },
  };
}

function monotonicNow(): Millis {
  return Number(process.hrtime.bigint()) / 1e6;
}
