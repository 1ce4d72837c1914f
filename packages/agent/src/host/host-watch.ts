import type { Clock, HostView, Millis } from "@mesh/core/ports";
import type { Logger } from "pino";
import type { StartMonitor } from "./program.ts";

export interface Monitor {
  /** As a person would type it. */
  readonly name: string;
  readonly start: StartMonitor;
}

interface HostWatchOptions {
  readonly clock: Clock;
  readonly log: Logger;
  observe(): Promise<HostView>;
  /** The last view that the caller was given, if any: the first difference to it is reported. */
  readonly known: HostView | undefined;
  onChange(view: HostView): void;
}

/** One change of a link makes a dozen messages within milliseconds; one look is enough for them all. */
const SETTLE_AFTER: Millis = 100;

/** A monitor has no sign that it listens; what changed before it did is found by this one look. [measured: `ip` listens 2 to 5 ms after its start] */
const LISTENING_AFTER: Millis = 1_000;

/** While a monitor cannot run this is a poll: every attempt to restart it looks as well. */
const RESTART_AFTER: Millis = 2_000;

/**
 * Looks again whenever a monitor says anything. What it says is not read: messages can be lost, a look cannot.
 */
export class HostWatch {
  readonly #options: HostWatchOptions;
  /** Of each monitor: it and its next step. */
  readonly #stops = new Map<Monitor, () => void>();
  readonly #cancels = new Map<Monitor, () => void>();
  readonly #endReasons = new Map<Monitor, string>();
  #known: string | undefined;
  #cancelLook: () => void = () => {};
  #lookAt: Millis | undefined;
  #isLooking = false;
  #isStopped = false;

  constructor(options: HostWatchOptions) {
    this.#options = options;
    this.#known = options.known === undefined ? undefined : JSON.stringify(options.known);
  }

  /** Listens to the monitor, if it does not yet, until the watch is stopped. */
  keep(monitor: Monitor): void {
    if (!this.#isStopped && !this.#stops.has(monitor)) this.#startMonitor(monitor);
  }

  stop(): void {
    this.#isStopped = true;
    for (const stop of [...this.#stops.values(), ...this.#cancels.values()]) stop();
    this.#cancelLook();
  }

  /** At most one look is due; an earlier one wins. */
  lookAfter(delay: Millis): void {
    const at = this.#options.clock.now() + delay;
    if (this.#isStopped || (this.#lookAt !== undefined && this.#lookAt <= at)) return;
    this.#cancelLook();
    this.#lookAt = at;
    this.#cancelLook = this.#options.clock.at(at, () => {
      this.#lookAt = undefined;
      void this.#look();
    });
  }

  #startMonitor(monitor: Monitor): void {
    const { log, clock } = this.#options;
    const monitorEnded = (reason: string): void => {
      const level = this.#endReasons.get(monitor) === reason ? "debug" : "warn";
      log[level]({ monitor: monitor.name, reason }, "a monitor of the host ended; the host is looked at every 2 s until it runs again");
      this.#endReasons.set(monitor, reason);
      this.#cancels.get(monitor)?.();
      this.#cancels.set(
        monitor,
        clock.at(clock.now() + RESTART_AFTER, () => this.#startMonitor(monitor)),
      );
    };
    this.#stops.set(
      monitor,
      monitor.start(() => this.lookAfter(SETTLE_AFTER), monitorEnded),
    );
    this.lookAfter(0);
    this.#cancels.set(
      monitor,
      clock.at(clock.now() + LISTENING_AFTER, () => this.lookAfter(0)),
    );
  }

  async #look(): Promise<void> {
    // What is being read may be older than the news: once more after it.
    if (this.#isLooking) return this.lookAfter(SETTLE_AFTER);
    this.#isLooking = true;
    try {
      this.#report(await this.#options.observe());
    } catch (err) {
      this.#options.log.warn({ err }, "the host's addresses and routes could not be read");
    } finally {
      this.#isLooking = false;
    }
  }

  #report(view: HostView): void {
    const text = JSON.stringify(view);
    if (this.#isStopped || text === this.#known) return;
    this.#known = text;
    this.#options.onChange(view);
  }
}
