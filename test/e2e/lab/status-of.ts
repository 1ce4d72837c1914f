import { get } from "node:http";
import { api, type StatusView } from "@mesh/core/api";
import { agentFiles } from "@mesh/core/config";
import type { MeshAgent } from "./agent.ts";

/** Milliseconds; an agent that is busy for longer counts as one that does not answer. */
const TIMEOUT = 10_000;

/** Straight from the agent's socket: no process is started for it, as `mesh status` would be. Rejects when nobody serves. */
export async function statusOf(agent: MeshAgent, network: string): Promise<StatusView> {
  const { socket } = agentFiles(agent.stateDir, network);
  const text = await new Promise<string>((resolve, reject) => {
    const request = get({ socketPath: socket, path: api.status.path, timeout: TIMEOUT }, (response) => {
      const parts: string[] = [];
      response.setEncoding("utf8").on("data", (part: string) => parts.push(part));
      response.once("error", reject).once("end", () => {
        const body = parts.join("");
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`status ${response.statusCode}: ${body}`));
      });
    });
    request.once("error", reject).once("timeout", () => request.destroy(new Error("no answer")));
  });
  return api.status.response(JSON.parse(text), "");
}
