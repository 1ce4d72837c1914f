import { api, type RoutesView } from "@mesh/core/api";
import { type Agent, callAgent } from "../client.ts";

export async function fetchRoutes(agent: Agent): Promise<RoutesView> {
  return await callAgent(api.routes, {}, agent);
}
