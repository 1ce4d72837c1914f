import type { LaunchOrder } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import { isServed } from "../client.ts";
import { type LaunchOptions, runAgent } from "../launch.ts";

/** What `mesh clean --json` prints. */
export interface CleanView {
  readonly version: 1;
  readonly network: string;
  /** What the agent did, in its words; empty when there was nothing to undo. */
  readonly steps: readonly string[];
}

/** Lets an agent process undo what the journal says, and waits for its end. Throws `agent/already-running`. */
export async function cleanHost(
  order: LaunchOrder & { readonly network: string },
  socket: string,
  options: LaunchOptions,
): Promise<CleanView> {
  if (await isServed(socket)) {
    const message = `The agent of ${order.network} is running, and what it changed on this host is in use.`;
    throw new MeshError("agent/already-running", message, { socket }, { hint: "Stop it first, which undoes everything: mesh down" });
  }
  const steps: string[] = [];
  await runAgent(order, {
    ...options,
    onStep: (step) => {
      steps.push(step.text);
      options.onStep(step);
    },
  });
  return { version: 1, network: order.network, steps };
}
