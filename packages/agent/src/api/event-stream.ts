/**
 * `/v1/events`: who listens gets the status and then what changes. The way of a change:
 *
 *  1. while somebody listens, and only then, the status is read every quarter of a second, or less often where reading it
 *     takes long;
 *  2. statusChanges says what is different from the last time;
 *  3. each change is one line for every listener;
 *  4. a listener whose lines wait, because it does not read, is dropped when there are too many of them.
 */
import type { ServerResponse } from "node:http";
import { type EventView, MAX_LISTENER_BACKLOG_BYTES, MAX_LISTENERS, type StatusView, statusChanges } from "@mesh/core/api";
import { MeshError } from "@mesh/core/errors";
import type { Clock, Millis } from "@mesh/core/ports";
import type { Logger } from "pino";
import { Refused } from "./refused.ts";

/** Faster than anyone reads; what comes and goes in between is not seen. */
const LOOK_INTERVAL: Millis = 250;

/** Of the time, reading the status takes at most one part in so many: a status of 10,000 nodes takes tens of milliseconds. */
const MAX_LOOK_SHARE = 20;

interface EventStreamOptions {
  /** Checked against the contract already. */
  readonly status: () => Promise<StatusView>;
  readonly clock: Clock;
  readonly log: Pick<Logger, "warn">;
  /** A listener that takes nothing of its first line for so long is dropped. */
  readonly writeTimeout: Millis;
}

interface Listener {
  readonly response: ServerResponse;
  /** Bytes of the first line until all of it is written; they do not count as backlog. */
  firstBytes: number;
}

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #listeners = new Set<Listener>();
  /** Admitted, its first line not yet made. */
  #entering = 0;
  /** What every listener knows by now. */
  #known: StatusView | undefined;
  #cancelLook: (() => void) | undefined;
  #isClosed = false;

  constructor(options: EventStreamOptions) {
    this.#options = options;
  }

  /** Begins the answer to one listener. Throws Refused, or what reading the status throws, before anything is written. */
  async add(response: ServerResponse): Promise<void> {
    if (this.#listeners.size + this.#entering >= MAX_LISTENERS) {
      throw new Refused(503, `${MAX_LISTENERS} clients follow the events already.`);
    }
    this.#entering++;
    try {
      const status = await this.#read();
      if (this.#isClosed || response.destroyed) response.destroy();
      else this.#begin(response, status);
    } finally {
      this.#entering--;
    }
  }

  /** Ends every listener's answer. */
  close(): void {
    this.#isClosed = true;
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    for (const { response } of this.#listeners) response.end();
    this.#listeners.clear();
  }

  #begin(response: ServerResponse, status: StatusView): void {
    const { clock, writeTimeout } = this.#options;
    const line = lineOf({ version: 1, at: clock.wallNow(), type: "status", status });
    const listener: Listener = { response, firstBytes: Buffer.byteLength(line) };
    const cancelTimeout = clock.at(clock.now() + writeTimeout, () => this.#drop(listener));
    response.once("close", () => {
      cancelTimeout();
      this.#remove(listener);
    });
    this.#listeners.add(listener);
    response.writeHead(200, { "content-type": "application/x-ndjson; charset=utf-8", connection: "close" });
    response.write(line, () => {
      cancelTimeout();
      listener.firstBytes = 0;
    });
    this.#lookLater(0);
  }

  /** Reads the status and tells who listens what is new in it. */
  async #read(): Promise<StatusView> {
    const { clock } = this.#options;
    const status = await this.#options.status();
    const lines = this.#known === undefined ? "" : statusChanges(this.#known, status, clock.wallNow()).map(lineOf).join("");
    this.#known = status;
    if (lines !== "") for (const listener of this.#listeners) this.#write(listener, lines);
    return status;
  }

  #write(listener: Listener, lines: string): void {
    listener.response.write(lines);
    if (listener.response.writableLength - listener.firstBytes > MAX_LISTENER_BACKLOG_BYTES) this.#drop(listener);
  }

  #drop(listener: Listener): void {
    this.#options.log.warn({ bytes: listener.response.writableLength }, "a listener does not read its events and was dropped");
    listener.response.destroy();
    this.#remove(listener);
  }

  #remove(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    this.#known = undefined;
  }

  /** `took`: how long the last look was. */
  #lookLater(took: Millis): void {
    const { clock } = this.#options;
    if (this.#cancelLook !== undefined || this.#listeners.size === 0) return;
    this.#cancelLook = clock.at(clock.now() + Math.max(LOOK_INTERVAL, took * MAX_LOOK_SHARE), () => {
      this.#cancelLook = undefined;
      void this.#look();
    });
  }

  async #look(): Promise<void> {
    const { clock, log } = this.#options;
    const startedAt = clock.now();
    try {
      await this.#read();
      this.#lookLater(clock.now() - startedAt);
    } catch (err) {
      // An agent that stops ends its events like this, a little before it closes them.
      if (!(err instanceof MeshError && err.code === "agent/not-running"))
        log.warn({ err }, "the status could not be read; the events end");
      for (const { response } of this.#listeners) response.destroy();
    }
  }
}

function lineOf(event: EventView): string {
  return `${JSON.stringify(event)}\n`;
}
