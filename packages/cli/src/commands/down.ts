import { api } from "@mesh/core/api";
import { type Agent, callAgent } from "../client.ts";
import type { CommandClock } from "../surroundings.ts";
import { waitUntilGone } from "../wait-until-gone.ts";

/** Asks the agent to end and waits until its socket is gone. */
export async function stopAgent(agent: Agent, clock: CommandClock): Promise<void> {
  await callAgent(api.down, {}, agent);
  await waitUntilGone(agent, clock);
}
