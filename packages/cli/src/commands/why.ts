import { api, type WhyView } from "@mesh/core/api";
import { type Agent, callAgent } from "../client.ts";

export async function fetchWhy(target: string, agent: Agent): Promise<WhyView> {
  return await callAgent(api.why, { target }, agent);
}
