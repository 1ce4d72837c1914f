import { api, type EventView, type StatusView } from "@mesh/core/api";
import { MeshError } from "@mesh/core/errors";
import { type Agent, callAgent, followEvents } from "../client.ts";
import type { CommandClock } from "../surroundings.ts";

/** Milliseconds between looks at what makes no event: traffic, round trips, ages. */
const REFRESH_INTERVAL = 2_000;

export interface WatchOptions {
  readonly clock: CommandClock;
  /** Aborted: the watch is over. */
  readonly interrupted: AbortSignal;
}

/** Gives the events as they come, the whole status first. Ends when interrupted; throws `agent/not-running` when the agent ends. */
export async function watchEvents(
  agent: Agent,
  { interrupted }: WatchOptions,
  onEvents: (events: readonly EventView[]) => void,
): Promise<void> {
  await followEvents(agent, { signal: interrupted, onEvents });
  if (interrupted.aborted) return;
  const options = { hint: "Start it again with: mesh up" };
  throw new MeshError("agent/not-running", "The agent has ended.", { socket: agent.socket }, options);
}

/** Gives the status whenever something changed, and every two seconds. Ends as {@link watchEvents}. */
export async function watchStatus(agent: Agent, options: WatchOptions, onStatus: (status: StatusView) => void): Promise<void> {
  const refresher = new Refresher(agent, options.clock, onStatus);
  try {
    await watchEvents(agent, options, (events) => {
      const [first] = events;
      if (first?.type === "status") onStatus(first.status);
      // The status is new; what changed since is in the other events.
      refresher.refresh(first?.type === "status" && events.length === 1);
    });
  } finally {
    refresher.close();
  }
}

/** One look at a time; the next one is two seconds after the last, or when it is asked for. */
class Refresher {
  readonly #agent: Agent;
  readonly #clock: CommandClock;
  readonly #onStatus: (status: StatusView) => void;
  #cancel: () => void = () => {};
  #isLooking = false;
  #isWanted = false;
  #isClosed = false;

  constructor(agent: Agent, clock: CommandClock, onStatus: (status: StatusView) => void) {
    this.#agent = agent;
    this.#clock = clock;
    this.#onStatus = onStatus;
  }

  refresh(later = false): void {
    this.#cancel();
    if (later) this.#cancel = this.#clock.after(REFRESH_INTERVAL, () => this.refresh());
    else if (this.#isLooking) this.#isWanted = true;
    else void this.#look();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  async #look(): Promise<void> {
    this.#isLooking = true;
    this.#isWanted = false;
    // Why it fails, when it does, is told by the end of the events.
    const status = await callAgent(api.status, {}, this.#agent).catch(() => undefined);
    this.#isLooking = false;
    if (this.#isClosed) return;
    if (status !== undefined) this.#onStatus(status);
    this.refresh(!this.#isWanted);
  }
}
