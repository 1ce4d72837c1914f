import { api, type StatusView } from "@mesh/core/api";
import { type Agent, callAgent } from "../client.ts";

/** What `mesh peers --json` prints: the part of the status that is about nodes. */
export type PeersView = Pick<StatusView, "version" | "self" | "peers">;

export async function fetchPeers(agent: Agent): Promise<PeersView> {
  const { version, self, peers } = await callAgent(api.status, {}, agent);
  return { version, self, peers };
}
