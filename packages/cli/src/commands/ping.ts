import { api, type PingView } from "@mesh/core/api";
import { type Agent, callAgent } from "../client.ts";
import { type CommandClock, sleep } from "../surroundings.ts";

export interface PingOptions {
  readonly agent: Agent;
  readonly clock: CommandClock;
  readonly count: number;
  /** Milliseconds from one answer, or its absence, to the next probe. */
  readonly interval: number;
  /** Ends with the first probe that was answered straight. */
  readonly untilDirect: boolean;
}

/** What `mesh ping --json` prints. */
export interface PingSummary {
  readonly version: 1;
  readonly sent: number;
  readonly answered: number;
  readonly pings: readonly PingView[];
  /** The first probe that was answered straight; absent: none was. */
  readonly direct?: DirectSince;
}

export interface DirectSince {
  /** 1 for the first probe. */
  readonly probe: number;
  /** Milliseconds from the beginning of the command to its answer. */
  readonly afterMs: number;
}

/** Probes `count` times, or until one goes straight; each outcome is shown as it comes. */
export async function ping(target: string, options: PingOptions, onPing: (view: PingView) => void): Promise<PingSummary> {
  const { agent, clock, count, interval, untilDirect } = options;
  const pings: PingView[] = [];
  const beganAt = clock.wallNow();
  let direct: DirectSince | undefined;
  while (pings.length < count && !(untilDirect && direct !== undefined)) {
    if (pings.length > 0) await sleep(clock, interval);
    const view = await callAgent(api.ping, { target }, agent);
    pings.push(view);
    if (isDirect(view)) direct ??= { probe: pings.length, afterMs: Math.max(0, clock.wallNow() - beganAt) };
    onPing(view);
  }
  const answered = pings.filter((view) => view.answered).length;
  return { version: 1, sent: pings.length, answered, pings, ...(direct !== undefined && { direct }) };
}

function isDirect({ answered, endpoint }: PingView): boolean {
  return answered && endpoint !== undefined;
}
