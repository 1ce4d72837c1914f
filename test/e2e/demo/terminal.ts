/** How the demo shows what it does: commands as typed, and what they say. */
import { paint } from "../../run-files.ts";
import type { MeshAgent } from "../lab/agent.ts";

export function heading(text: string): void {
  console.log(`\n${paint("bold", `── ${text}`)}\n`);
}

/** What the demo itself has measured or has to say. */
export function note(text: string): void {
  console.log(paint("gray", text));
}

export function prompt({ name }: Pick<MeshAgent, "name">, words: readonly string[]): void {
  console.log(`${paint("green", `${name}$`)} ${paint("bold", words.join(" "))}`);
}

/**
 * Shows the command as typed and what it says, and returns its standard output. `shown` stands for arguments that are too long to
 * read. Throws when it ended with an error; exit code 3 says that something is degraded, as it is while a node is away.
 */
export async function type(agent: MeshAgent, args: readonly string[], shown: readonly string[] = args): Promise<string> {
  prompt(agent, ["mesh", ...shown]);
  const { code, stdout, stderr } = await agent.mesh(args);
  const output = `${stderr}${stdout}`.trimEnd();
  if (output !== "") console.log(`${output}\n`);
  if (code !== 0 && code !== 3) throw new Error(`mesh ${shown.join(" ")} on ${agent.name} ended with exit code ${code ?? "none"}.`);
  return stdout;
}
