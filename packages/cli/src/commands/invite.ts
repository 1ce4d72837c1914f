import { api, type InviteRequest, type InviteView } from "@mesh/core/api";
import { type Agent, callAgent } from "../client.ts";

export async function makeInvite(request: InviteRequest, agent: Agent): Promise<InviteView> {
  return await callAgent(api.invite, request, agent);
}
