import type { Clock, HostView } from "@mesh/core/ports";
import type { Logger } from "pino";
import type { IpCommand } from "./ip-command.ts";

interface HostWatchOptions {
  readonly ip: Pick<IpCommand, "monitor">;
  readonly clock: Clock;
  readonly log: Logger;
  observe(): Promise<HostView>;
  /** The last view that the caller was given, if any: the first difference to it is reported. */
  readonly known: HostView | undefined;
  onChange(view: HostView): void;
}

/** One change of a link makes a dozen messages within milliseconds; one look is enough for them all. */
const SETTLE_AFTER = 100;

/** `ip monitor` has no sign that it listens; what changed before it did is found by this one look. [measured: it listens 2 to 5 ms after its start] */
const LISTENING_AFTER = 1_000;

/** While the monitor cannot run this is a poll: every attempt to restart it looks as well. */
const RESTART_AFTER = 2_000;

/**
 * Looks again whenever `ip monitor` says anything. What it says is not read: messages can be lost, a look cannot.
 */
export class HostWatch {
  readonly #options: HostWatchOptions;
  #known: string | undefined;
  #stopMonitor: () => void = () => {};
  #cancelStep: () => void = () => {};
  #cancelLook: () => void = () => {};
  #lookAt: number | undefined;
  #isLooking = false;
  #isStopped = false;

  constructor(options: HostWatchOptions) {
    this.#options = options;
    this.#known = options.known === undefined ? undefined : JSON.stringify(options.known);
  }

  start(): void {
    this.#startMonitor();
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopMonitor();
    this.#cancelStep();
    this.#cancelLook();
  }

  #startMonitor(): void {
    const { ip, log, clock } = this.#options;
    const monitorEnded = (reason: string): void => {
      log.warn({ reason }, "ip monitor ended; the host is looked at every 2 s until it runs again");
      this.#cancelStep();
      this.#cancelStep = clock.at(clock.now() + RESTART_AFTER, () => this.#startMonitor());
    };
    this.#stopMonitor = ip.monitor(() => this.#lookAfter(SETTLE_AFTER), monitorEnded);
    this.#lookAfter(0);
    this.#cancelStep = clock.at(clock.now() + LISTENING_AFTER, () => this.#lookAfter(0));
  }

  /** At most one look is due; an earlier one wins. */
  #lookAfter(delay: number): void {
    const at = this.#options.clock.now() + delay;
    if (this.#isStopped || (this.#lookAt !== undefined && this.#lookAt <= at)) return;
    this.#cancelLook();
    this.#lookAt = at;
    this.#cancelLook = this.#options.clock.at(at, () => {
      this.#lookAt = undefined;
      void this.#look();
    });
  }

  async #look(): Promise<void> {
    // What is being read may be older than the news: once more after it.
    if (this.#isLooking) return this.#lookAfter(SETTLE_AFTER);
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
