import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";

/** Far above what anything here takes, so that only what never happens fails. */
const GIVE_UP_AFTER = 10_000;

/** Waits for what others make true and then ring for: no time is lost by looking now and then. */
export class Bell {
  #hear: () => void = () => {};

  ring(): void {
    this.#hear();
  }

  async until(what: string, isTrue: () => boolean): Promise<void> {
    const late = new AbortController();
    const giveUp = delay(GIVE_UP_AFTER, undefined, { signal: late.signal }).then(
      () => assert.fail(`this never happened: ${what}`),
      () => {},
    );
    const happened = new Promise<void>((resolve) => {
      this.#hear = () => (isTrue() ? resolve() : undefined);
      this.#hear();
    });
    await Promise.race([happened, giveUp]);
    late.abort();
  }
}
