import { api, type StatusView } from "@mesh/core/api";
import { agentFiles, type LaunchOrder } from "@mesh/core/config";
import { callAgent } from "../client.ts";
import { interruption, type LaunchedAgent, type LaunchOptions, launchAgent } from "../launch.ts";

export interface Started {
  readonly agent: LaunchedAgent;
  readonly status: StatusView;
}

/** `init`, `join` and `up`: starts the agent, and asks it what became of it. When this throws, no agent is left. */
export async function start(order: LaunchOrder, options: LaunchOptions): Promise<Started> {
  const agent = await launchAgent(order, options);
  try {
    const status = await callAgent(api.status, {}, agent);
    if (options.interrupted.aborted) throw interruption(agentFiles(order.stateRoot, agent.network).log);
    return { agent, status };
  } catch (error) {
    await agent.stop();
    throw error;
  }
}
