import type { InviteView } from "@mesh/core/api";
import { formatInstant, formatLifetime } from "./quantities.ts";
import type { Style } from "./style.ts";

/** The words around an invite; the invite itself is not in them, it goes to standard output alone. */
export function renderInviteNotes({ expiresAt, uses, reachableAt }: InviteView, { now, paint }: Style): string {
  const nodes = uses === 1 ? "one node" : `${uses} nodes`;
  // Half a second added: the agent made it a moment ago, and `59 m` for an hour looks wrong.
  const good = `Good for ${nodes} until ${formatInstant(expiresAt, now)} (${formatLifetime(expiresAt - now + 500)}). Whoever has it can join: hand it over privately.`;
  if (reachableAt.length === 0) return `${good}\n${paint.yellow("Nobody outside can reach this mesh now.")} See why: mesh status\n`;
  return `${good}\nThe new node will try ${reachableAt.join(", ")}. There: mesh join -\n`;
}
