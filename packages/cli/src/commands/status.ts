import { api, type StatusView } from "@mesh/core/api";
import { type Agent, callAgent } from "../client.ts";

export async function fetchStatus(agent: Agent): Promise<StatusView> {
  return await callAgent(api.status, {}, agent);
}
