import { MeshError } from "@mesh/core/errors";
import type { IpOutcome } from "./ip-command.ts";

export type IpFailure = Extract<IpOutcome, { readonly ok: false }>;

/** `action` completes "Only root may …" and "Could not …". */
export function commandFailed(failure: IpFailure, action: string): MeshError {
  if (/Operation not permitted/.test(failure.output)) return notRoot(action);
  return new MeshError(
    "host/command-failed",
    `Could not ${action}: ${failure.output.split("\n")[0]}`,
    { command: failure.failed, output: failure.output },
    { hint: `Try it by hand: ${failure.failed}` },
  );
}

function notRoot(action: string): MeshError {
  return new MeshError(
    "host/not-root",
    `Only root may ${action}.`,
    { action },
    { hint: "Run it with sudo, or give the process CAP_NET_ADMIN." },
  );
}
