import { MeshError } from "@mesh/core/errors";
import type { CommandOutcome } from "./ip-command.ts";

export type CommandFailure = Extract<CommandOutcome, { readonly ok: false }>;

/** `action` completes "Only root may …" and "Could not …". */
export function commandFailed(failure: CommandFailure, action: string): MeshError {
  if (/Operation not permitted/.test(failure.output)) return notRoot(action);
  return new MeshError(
    "host/command-failed",
    `Could not ${action}: ${firstLine(failure.output)}`,
    { command: failure.failed, output: failure.output },
    { hint: `Try it by hand: ${failure.failed}` },
  );
}

export function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}

function notRoot(action: string): MeshError {
  return new MeshError(
    "host/not-root",
    `Only root may ${action}.`,
    { action },
    { hint: "Run it with sudo, or give the process CAP_NET_ADMIN." },
  );
}
