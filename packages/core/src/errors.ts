/** Every error a person or the API can meet, and the facts each one must carry. */
interface ErrorDetails {
  "usage/invalid": { readonly reason: string };
  "config/invalid": { readonly key: string; readonly reason: string };
  "agent/not-running": { readonly socket: string };
  "agent/already-running": { readonly socket: string };
  /** `log` is absent where the agent did not get as far as knowing its network. */
  "agent/start-failed": { readonly log?: string };
  "agent/failed": { readonly reason: string };
  "host/not-root": { readonly action: string };
  "host/command-failed": { readonly command: string; readonly output: string };
  "host/prefix-taken": { readonly prefix: string; readonly by: string };
  "datapath/port-taken": { readonly port: number };
  "datapath/tun-taken": { readonly device: string };
  "datapath/tun-failed": { readonly device: string; readonly errno: string };
  "datapath/unavailable": { readonly reason: string };
  "control/port-taken": { readonly address: string };
  "state/missing": { readonly directory: string };
  "state/exists": { readonly directory: string };
  "state/damaged": { readonly file: string; readonly reason: string };
  "state/unwritable": { readonly file: string; readonly reason: string };
  "state/unsafe": { readonly directory: string; readonly reason: string };
  "state/ambiguous": { readonly networks: readonly string[] };
  "invite/unreadable": { readonly reason: string };
  "invite/refused": { readonly reason: string };
  "invite/unreachable": { readonly tried: readonly string[] };
  "invite/not-admin": Record<string, never>;
  /** Leaving would destroy the only copy of the root key that is known here. */
  "leave/holds-root": Record<string, never>;
  /** No member is linked that could pass it on. */
  "leave/unheard": Record<string, never>;
  "peer/unknown": { readonly wanted: string };
  /** `names`: of some of those that it could mean. */
  "peer/ambiguous": { readonly wanted: string; readonly names: readonly string[] };
}

export type ErrorCode = keyof ErrorDetails;

interface MeshErrorOptions {
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * What went wrong, in one sentence, and what to do about it, in another (`hint`).
 * Match on `code`, never on `message`: codes are API, messages are prose.
 */
export class MeshError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = "MeshError";
  readonly code: C;
  readonly details: ErrorDetails[C];
  readonly hint: string | undefined;

  constructor(code: C, message: string, details: ErrorDetails[C], options: MeshErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = details;
    this.hint = options.hint;
  }
}

/** A {@link MeshError} as data, on its way between processes and in what `--json` prints. */
export interface ErrorFacts {
  /** An ErrorCode; of a newer agent, perhaps one that is not known here. */
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export function errorFacts({ code, message, hint, details }: MeshError): ErrorFacts {
  return { code, message, ...(hint === undefined ? {} : { hint }), details: { ...details } };
}

/** The error that another process met. Codes are taken as they are: a newer agent may know more of them. */
export function meshErrorOf({ code, message, hint, details = {} }: ErrorFacts): MeshError {
  return new MeshError(code as ErrorCode, message, details as MeshError["details"], hint === undefined ? {} : { hint });
}
