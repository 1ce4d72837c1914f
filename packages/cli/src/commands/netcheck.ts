import { api, type NetcheckView } from "@mesh/core/api";
import { type Agent, callAgent } from "../client.ts";

export async function fetchNetcheck(agent: Agent): Promise<NetcheckView> {
  return await callAgent(api.netcheck, {}, agent);
}
