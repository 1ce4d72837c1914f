import { api, type LeaveView } from "@mesh/core/api";
import { type Agent, callAgent } from "../client.ts";
import type { CommandClock, Input } from "../surroundings.ts";
import { waitUntilGone } from "../wait-until-gone.ts";

export interface LeaveOptions {
  readonly agent: Agent;
  readonly clock: CommandClock;
  readonly force: boolean;
}

/** Ends the membership and waits until the agent, which ends with it, is gone. */
export async function leave({ agent, clock, force }: LeaveOptions): Promise<LeaveView> {
  const view = await callAgent(api.leave, force ? { force } : {}, agent);
  await waitUntilGone(agent, clock);
  return view;
}

/** The first line typed means yes. An input that ends means no. */
export async function isConfirmed(input: Input): Promise<boolean> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of input) {
    text += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) break;
  }
  return /^\s*y(es)?\s*(\n|$)/i.test(text);
}
