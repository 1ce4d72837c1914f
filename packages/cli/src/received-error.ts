import type { ErrorView } from "@mesh/core/api";
import { type ErrorCode, MeshError } from "@mesh/core/errors";

/** The error that an agent sent. Codes are taken as they are: a newer agent may know more of them than this command does. */
export function receivedError({ code, message, hint, details }: ErrorView["error"]): MeshError {
  return new MeshError(code as ErrorCode, message, (details ?? {}) as MeshError["details"], hint === undefined ? {} : { hint });
}

/** What `--json` prints for an error. */
export function errorView({ code, message, hint, details }: MeshError): ErrorView {
  return { error: { code, message, ...(hint === undefined ? {} : { hint }), details: { ...details } } };
}
