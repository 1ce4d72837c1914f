import { api, type PingView } from "@mesh/core/api";
import { type Agent, callAgent } from "../client.ts";
import { type CommandClock, sleep } from "../surroundings.ts";

export interface PingOptions {
  readonly agent: Agent;
  readonly clock: CommandClock;
  readonly count: number;
  /** Milliseconds from one answer, or its absence, to the next probe. */
  readonly interval: number;
}

/** What `mesh ping --json` prints. */
export interface PingSummary {
  readonly version: 1;
  readonly sent: number;
  readonly answered: number;
  readonly pings: readonly PingView[];
}

/** Probes `count` times; each outcome is shown as it comes. */
export async function ping(target: string, options: PingOptions, onPing: (view: PingView) => void): Promise<PingSummary> {
  const pings: PingView[] = [];
  for (let sent = 0; sent < options.count; sent++) {
    if (sent > 0) await sleep(options.clock, options.interval);
    const view = await callAgent(api.ping, { target }, options.agent);
    pings.push(view);
    onPing(view);
  }
  return { version: 1, sent: pings.length, answered: pings.filter((view) => view.answered).length, pings };
}
