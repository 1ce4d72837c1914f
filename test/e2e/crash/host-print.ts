import type { LabHost } from "../lab/lab.ts";

/** Settings that the kernel counts in by itself, or that go with a device. */
const VOLATILE = /nf_conntrack_count|\.neigh\.(?!default)/;

/** Everything of a host's network that an agent may touch, as text: what it was before, it must be again. */
export async function hostPrint(host: LabHost): Promise<string> {
  const commands = [
    ["ip", "-br", "link"],
    ["ip", "-br", "addr"],
    ["ip", "-4", "route", "show", "table", "all"],
    ["ip", "-6", "route", "show", "table", "all"],
    ["ip", "-4", "rule"],
    ["ip", "-6", "rule"],
    ["nft", "list", "ruleset"],
    ["sysctl", "-a", "--pattern", "^net\\."],
  ] as const;
  const parts: string[] = [];
  for (const [command, ...args] of commands) {
    const { stdout } = await host.run(command, args);
    const lines = stdout.split("\n").filter((line) => line !== "" && !VOLATILE.test(line));
    parts.push(`# ${[command, ...args].join(" ")}`, ...lines);
  }
  return parts.join("\n");
}
