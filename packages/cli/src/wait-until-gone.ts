import { MeshError } from "@mesh/core/errors";
import { type Agent, isServed } from "./client.ts";
import { findServingProcess } from "./find-process.ts";
import { type CommandClock, sleep } from "./surroundings.ts";

/** Milliseconds for a goodbye and undoing what the agent did to the host: eight parts, each bounded by 3 s. */
const STOP_TIMEOUT = 30_000;

/** Milliseconds between looks. */
const LOOK_INTERVAL = 25;

/** Waits until nobody serves the agent's socket any more. */
export async function waitUntilGone(agent: Agent, clock: CommandClock): Promise<void> {
  for (let waited = 0; waited < STOP_TIMEOUT; waited += LOOK_INTERVAL) {
    if (!(await isServed(agent.socket))) return;
    await sleep(clock, LOOK_INTERVAL);
  }
  const server = await findServingProcess(agent.socket);
  const who = server === undefined ? "The agent" : `The agent, process ${server.pid},`;
  const reason = `it did not stop within ${STOP_TIMEOUT / 1_000} s`;
  const hint = agent.log === undefined ? "Its log says what it is waiting for." : `Its log says what it is waiting for: ${agent.log}`;
  throw new MeshError("agent/failed", `${who} was asked to stop, but ${reason}.`, { reason }, { hint });
}
