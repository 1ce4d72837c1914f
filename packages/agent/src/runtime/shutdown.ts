import type { Clock, Millis } from "@mesh/core/ports";
import type { Logger } from "pino";

/** What a shutdown needs of `process`. */
export interface ProcessEvents {
  on(event: string, listener: (value: unknown) => void): unknown;
  off(event: string, listener: (value: unknown) => void): unknown;
  exit(code: number): void;
}

interface ShutdownOptions {
  readonly process: ProcessEvents;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A part that takes longer to close is left behind. The longest of them all is the goodbye, 1 s and the write before it. */
const CLOSE_TIMEOUT: Millis = 3_000;

/** Exit codes of the agent's process. A second signal ends it with 128 plus the signal's number, as a shell shows it. */
const EXIT_STOPPED = 0;
const EXIT_FAILED = 1;

const STOP_SIGNALS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };

interface Part {
  readonly name: string;
  close(): Promise<void> | void;
}

/**
 * The one way out: a signal, an error that nobody caught, or {@link stop} closes the parts in the reverse order of
 * their opening, one after the other, and ends the process.
 *
 *     running --stop, signal, error--> closing --all closed or given up--> exit(code)
 *     closing --another signal--> exit(128 + signal) at once
 *     closing --another error--> closing (logged; the exit code becomes 1)
 */
export class Shutdown {
  readonly #options: ShutdownOptions;
  readonly #parts: Part[] = [];
  readonly #aborter = new AbortController();
  readonly #listeners = new Map<string, (value: unknown) => void>();
  #exitCode = EXIT_STOPPED;
  #done: Promise<void> | undefined;

  constructor(options: ShutdownOptions) {
    this.#options = options;
    for (const [signal, number] of Object.entries(STOP_SIGNALS)) this.#listen(signal, () => this.#signalled(signal, number));
    for (const event of ["uncaughtException", "unhandledRejection"]) this.#listen(event, (error) => void this.fail(error));
  }

  /** Aborted, with the reason, as soon as the shutdown begins: whoever is still starting up gives up. */
  get signal(): AbortSignal {
    return this.#aborter.signal;
  }

  /** Registers a part right after it was opened. During a shutdown it is the next to be closed. */
  add(name: string, close: () => Promise<void> | void): void {
    this.#parts.push({ name, close });
  }

  /** It began, or goes on, because of an error. */
  get hasFailed(): boolean {
    return this.#exitCode === EXIT_FAILED;
  }

  /** Because somebody wants it. Resolves when `exit` was called; the same shutdown for every caller. */
  stop(reason: string): Promise<void> {
    if (this.#done === undefined) this.#options.log.info({ reason }, "stopping");
    return this.#begin(new Error("the agent is stopping"));
  }

  /** Because the agent cannot go on. */
  fail(error: unknown): Promise<void> {
    this.#options.log.fatal({ err: error }, this.#done === undefined ? "stopping after an error" : "error while stopping");
    this.#exitCode = EXIT_FAILED;
    return this.#begin(error);
  }

  #signalled(signal: string, number: number): void {
    if (this.#done === undefined) void this.stop(signal);
    else this.#options.process.exit(128 + number);
  }

  #begin(reason: unknown): Promise<void> {
    // Not yet in this call: what a part does while it closes finds the shutdown begun.
    this.#done ??= Promise.resolve().then(() => this.#close());
    this.#aborter.abort(reason);
    return this.#done;
  }

  async #close(): Promise<void> {
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) await this.#closePart(part);
    for (const [event, listener] of this.#listeners) this.#options.process.off(event, listener);
    this.#options.process.exit(this.#exitCode);
  }

  async #closePart(part: Part): Promise<void> {
    const { clock, log } = this.#options;
    const { promise: timedOut, resolve } = Promise.withResolvers<"timed out">();
    const cancel = clock.at(clock.now() + CLOSE_TIMEOUT, () => resolve("timed out"));
    try {
      const closed = Promise.resolve(part.close());
      if ((await Promise.race([closed, timedOut])) === "timed out") {
        this.#exitCode = EXIT_FAILED;
        // It may still fail later, when nobody waits for it any more.
        closed.catch(() => {});
        log.error({ part: part.name, ms: CLOSE_TIMEOUT }, "did not close in time");
      }
    } catch (err) {
      this.#exitCode = EXIT_FAILED;
      log.error({ part: part.name, err }, "did not close");
    } finally {
      cancel();
    }
  }

  #listen(event: string, listener: (value: unknown) => void): void {
    this.#listeners.set(event, listener);
    this.#options.process.on(event, listener);
  }
}
