import { type CommandName, commandEntry, commandNames, flagEntry } from "../command-table.ts";
import type { Paint } from "./paint.ts";
import { formatTable } from "./table.ts";

export function renderHelp(topic: CommandName | undefined, paint: Paint): string {
  return topic === undefined ? renderOverview(paint) : renderCommandHelp(topic, paint);
}

function renderOverview(paint: Paint): string {
  const rows = commandNames.map((name) => [`  mesh ${[name, ...commandEntry(name).positionals].join(" ")}`, commandEntry(name).summary]);
  return [
    "mesh joins hosts into one encrypted network of their own, with no server.",
    "",
    paint.bold("Commands"),
    formatTable(rows),
    "",
    paint.bold("Example"),
    "  mesh init             on the first node",
    "  mesh invite           there, for the second",
    "  mesh join -           on the second, with the invite on standard input",
    "",
    "Every command takes --json, --network <name>, --state <dir> and --help. mesh --version says which this is.",
    "Exit codes: 0 fine, 1 error, 2 usage, 3 degraded, 4 agent not running.",
    "",
  ].join("\n");
}

function renderCommandHelp(name: CommandName, paint: Paint): string {
  const { summary, positionals, flags, notes, examples } = commandEntry(name);
  const rows = flags.map((flag) => {
    const { value, summary: meaning } = flagEntry(flag);
    return [`  --${flag}${value === undefined ? "" : ` <${value}>`}`, meaning];
  });
  const line = ["mesh", name, ...positionals, "[flags]"].join(" ");
  return [
    `${paint.bold(line)}   ${summary}`,
    "",
    ...notes,
    ...(notes.length === 0 ? [] : [""]),
    paint.bold("Flags"),
    formatTable(rows),
    "",
    paint.bold(examples.length === 1 ? "Example" : "Examples"),
    ...examples.map((example) => `  ${example}`),
    "",
  ].join("\n");
}
