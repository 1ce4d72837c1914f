import { api } from "@mesh/core/api";
import { MeshError } from "@mesh/core/errors";
import { type Agent, callAgent, isServed } from "../client.ts";
import { type CommandClock, sleep } from "../surroundings.ts";

/** Milliseconds for undoing what the agent did to the host; each of its parts is bounded by 3 s. */
const STOP_TIMEOUT = 10_000;

/** Milliseconds between looks. */
const LOOK_INTERVAL = 25;

/** Asks the agent to end and waits until its socket is gone. */
export async function stopAgent(agent: Agent, clock: CommandClock): Promise<void> {
  await callAgent(api.down, {}, agent);
  for (let waited = 0; waited < STOP_TIMEOUT; waited += LOOK_INTERVAL) {
    if (!(await isServed(agent.socket))) return;
    await sleep(clock, LOOK_INTERVAL);
  }
  const reason = `it did not stop within ${STOP_TIMEOUT / 1_000} s`;
  throw new MeshError(
    "agent/failed",
    `The agent was asked to stop, but ${reason}.`,
    { reason },
    { hint: "Its log says what it is waiting for." },
  );
}
