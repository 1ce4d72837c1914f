import type { LeaveView } from "@mesh/core/api";

export function renderQuestion(network: string): string {
  return `This node leaves ${network} for good: its keys are deleted, and only a new invite lets it in again. Leave? [y/N] `;
}

export function renderLeft({ network, told }: LeaveView): string {
  const heard =
    told === 0
      ? "No other member was reached; to those there are, this node is failed until an admin removes it."
      : `${told === 1 ? "One member was" : `${told} members were`} told, and the others hear it from ${told === 1 ? "it" : "them"}.`;
  return `This node has left ${network}. ${heard}\nIts keys and state are deleted, and what the agent changed on this host is undone.\n`;
}
