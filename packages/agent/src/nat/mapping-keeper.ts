import { type Clock, type Endpoint, formatEndpoint, type Millis, minutes, sameEndpoint, seconds } from "@mesh/core/ports";
import type { Logger } from "pino";
import { abortAfter } from "./abort-after.ts";
import type { Faults, Grant } from "./mapping.ts";
import type { Uplink } from "./uplinks.ts";

export interface MappingKeeperOptions {
  readonly uplink: Uplink;
  readonly clock: Clock;
  readonly log: Logger;
  readonly faults: Faults;
  /** Asks the router, with what was held last as the wish. */
  ask(suggested: Endpoint | undefined, signal: AbortSignal): Promise<Grant | undefined>;
  onChanged(): void;
  /** The router has lost all its mappings. */
  onReboot(): void;
}

/** After the first time without success, the second … the last goes on. What has no port mapping today will have none in an hour. */
const RETRY_AFTER: readonly Millis[] = [minutes(1), minutes(5), minutes(30), minutes(60)];

/** A renewal that fails is tried again after half of what is left, and not more often than this. */
const SHORTEST_RETRY: Millis = seconds(10);

/** Another uplink's news makes this one ask again, unless it has just done so: routers that lie must not keep two of them busy. */
const SHORTEST_INTERVAL: Millis = minutes(1);

/** Taking a mapping back is a courtesy: the lease ends it anyway. */
export const RELEASE_TIMEOUT: Millis = 300;

interface Lease {
  readonly grant: Grant;
  readonly at: Millis;
  readonly expiresAt: Millis;
}

/**
 * Has one mapping of one uplink, as far as its router gives it.
 *
 *   asking --granted--> held --half of the lease over--> asking
 *   asking --nothing--> held, while the old lease lasts; then, or without one, waiting --1, 5, 30, 60, 60 … min--> asking
 *   any --closed--> released
 */
export class MappingKeeper {
  readonly uplink: Uplink;
  readonly #options: MappingKeeperOptions;
  readonly #closing = new AbortController();
  #lease: Lease | undefined;
  #failures = 0;
  #askedAt = Number.NEGATIVE_INFINITY;
  #cancel: () => void = () => {};
  #asking: Promise<void> | undefined;

  constructor(options: MappingKeeperOptions) {
    this.uplink = options.uplink;
    this.#options = options;
    this.#ask();
  }

  /** What it has. */
  get grant(): Grant | undefined {
    return this.#lease?.grant;
  }

  /** Its router was asked, and gave nothing. */
  get isRefused(): boolean {
    return this.#lease === undefined && this.#failures > 0;
  }

  /** There is a reason to believe that the router has forgotten us. */
  askAgain(): void {
    if (this.#options.clock.now() - this.#askedAt >= SHORTEST_INTERVAL) this.#ask();
  }

  /** Takes the mapping back, and returns within RELEASE_TIMEOUT whether that worked or not. */
  async close(): Promise<void> {
    this.#cancel();
    this.#closing.abort();
    await this.#asking;
    const { clock, log, uplink } = this.#options;
    const deadline = abortAfter(RELEASE_TIMEOUT, { clock, signal: new AbortController().signal });
    try {
      await this.#lease?.grant.release(deadline.signal);
    } catch (err) {
      log.warn({ err, gateway: uplink.gateway }, "taking a port mapping back failed");
    } finally {
      this.#lease = undefined;
      deadline.end();
    }
  }

  #ask(): void {
    if (this.#asking !== undefined || this.#closing.signal.aborted) return;
    this.#cancel();
    const { clock, log, uplink } = this.#options;
    this.#askedAt = clock.now();
    this.#asking = this.#options
      .ask(this.grant?.external, this.#closing.signal)
      .catch((err: unknown) => void log.warn({ err, gateway: uplink.gateway }, "asking the router for a port failed"))
      .then((grant) => this.#answered(grant ?? undefined))
      .finally(() => (this.#asking = undefined));
  }

  #answered(grant: Grant | undefined): void {
    const { clock } = this.#options;
    const now = clock.now();
    if (grant === undefined) this.#without(now);
    else this.#granted(grant, now);
    if (this.#closing.signal.aborted) return;
    const dueAt = this.#lease === undefined ? now + retryAfter(this.#failures) : this.#renewAt(this.#lease, now);
    this.#cancel = clock.at(dueAt, () => this.#ask());
  }

  #granted(grant: Grant, now: Millis): void {
    const { log, uplink, faults } = this.#options;
    const before = this.#lease;
    this.#lease = { grant, at: now, expiresAt: now + grant.lifetime };
    this.#failures = 0;
    if (this.#closing.signal.aborted) return;
    const hasRebooted = before !== undefined && lostMappings(before, this.#lease);
    if (hasRebooted) faults.count("rebooted");
    if (!sameEndpoint(before?.grant.external, grant.external)) {
      const { protocol, external, lifetime } = grant;
      log.info({ protocol, gateway: uplink.gateway, endpoint: formatEndpoint(external), ms: lifetime }, "the router mapped our port");
      this.#options.onChanged();
    }
    if (hasRebooted) this.#options.onReboot();
  }

  #without(now: Millis): void {
    const { log, uplink } = this.#options;
    this.#failures++;
    if (this.#lease === undefined || now < this.#lease.expiresAt) {
      if (this.#failures === 1) log.debug({ gateway: uplink.gateway }, "the router maps no port");
      return;
    }
    log.info({ gateway: uplink.gateway, endpoint: formatEndpoint(this.#lease.grant.external) }, "the router's mapping has run out");
    this.#lease = undefined;
    this.#failures = 1;
    this.#options.onChanged();
  }

  #renewAt({ at, expiresAt }: Lease, now: Millis): Millis {
    if (this.#failures === 0) return at + (expiresAt - at) / 2;
    return Math.max(now + SHORTEST_RETRY, Math.min(expiresAt, now + (expiresAt - now) / 2));
  }
}

function retryAfter(failures: number): Millis {
  return RETRY_AFTER[Math.min(failures, RETRY_AFTER.length) - 1] ?? 0;
}

/** The router's clock went back, or stands far behind where ours says that it must be (RFC 6886 section 3.6, RFC 6887 section 8.5). */
function lostMappings(before: Lease, after: Lease): boolean {
  const [then, now] = [before.grant.epoch, after.grant.epoch];
  if (then === undefined || now === undefined || before.grant.protocol !== after.grant.protocol) return false;
  const passed = (after.at - before.at) / seconds(1);
  return now + 2 < then + passed * (7 / 8);
}
