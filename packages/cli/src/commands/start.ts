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
    const { log } = agentFiles(order.stateRoot, agent.network);
    const status = await callAgent(api.status, {}, { socket: agent.socket, log });
    if (options.interrupted.aborted) throw interruption(log);
    return { agent, status };
  } catch (error) {
    await agent.stop();
    throw error;
  }
}
