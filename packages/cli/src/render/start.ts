import type { StatusView } from "@mesh/core/api";
import type { CleanView } from "../commands/clean.ts";
import type { LaunchStep } from "../launch.ts";
import type { Style } from "./style.ts";
import { formatTable } from "./table.ts";

/** One line of progress, with the time since the agent's start. */
export function renderStep({ text, ms }: Pick<LaunchStep, "text" | "ms">, { paint }: Style): string {
  return `${paint.dim(`${(ms / 1_000).toFixed(1).padStart(5)} s`)}  ${text}\n`;
}

/** What came out of `init`, `join` or `up`, and what to try next. */
export function renderStarted(command: "init" | "join" | "up", { network, self, peers }: StatusView, { paint }: Style): string {
  const addresses = self.address4 === undefined ? self.address6 : `${self.address4} (${self.address6})`;
  const is = command === "init" ? "is made" : command === "join" ? "is joined" : "is up";
  const head = `Network ${paint.bold(network.name)} ${is}, ${network.prefix4}. This node is ${paint.bold(self.name)}, ${addresses}.`;
  const someone = peers.find((peer) => peer.state === "alive") ?? peers[0];
  const ideas = [["mesh status", "this node, its peers, what is wrong"]];
  if (someone !== undefined) ideas.push([`mesh ping ${someone.name}`, "whether packets get there, and how"]);
  if (command === "init") ideas.unshift(["mesh invite", "make an invite for the next node"]);
  return `${head}\n\nTry next:\n${formatTable(ideas.map(([line = "", what = ""]) => [`  ${line}`, what]))}\n`;
}

/** After the steps, which said what was undone. */
export function renderCleaned({ network, steps }: CleanView): string {
  return steps.length === 0 ? `Nothing of ${network} was left on this host.\n` : `Nothing of ${network} is left on this host now.\n`;
}
