import { flag, number, object, oneOf, openObject, optional, type Shape, text, wholeNumber } from "./shape.ts";

/**
 * What the CLI tells a new agent process on its standard input, as one JSON line. Secrets (an invite) travel here and
 * nowhere else: not in arguments, not in the environment.
 */
export const launchOrder: Shape<LaunchOrder> = object({
  command: oneOf("init", "join", "up"),
  stateRoot: text,
  /** Required for `up`; for `init` the name of the new network; for `join` the invite knows it. */
  network: optional(text),
  invite: optional(text),
  /** This node's name; default: what the host calls itself. */
  nodeName: optional(text),
  /** `init` only: IPv4 prefix of the mesh; default: a free /16 in 10.64.0.0/10. */
  cidr: optional(text),
  /** `init` only: length of one node's IPv4 prefix. */
  nodeBits: optional(wholeNumber(8, 30)),
  tunName: optional(text),
  udpPort: optional(wholeNumber(1, 65_535)),
  /** `addr:port` of the TCP control plane. */
  listen: optional(text),
  logLevel: optional(oneOf("trace", "debug", "info", "warn", "error")),
  /** Log lines go to standard error too. */
  foreground: optional(flag),
});

export interface LaunchOrder {
  readonly command: "init" | "join" | "up";
  readonly stateRoot: string;
  readonly network?: string;
  readonly invite?: string;
  readonly nodeName?: string;
  readonly cidr?: string;
  readonly nodeBits?: number;
  readonly tunName?: string;
  readonly udpPort?: number;
  readonly listen?: string;
  readonly logLevel?: "trace" | "debug" | "info" | "warn" | "error";
  readonly foreground?: boolean;
}

/**
 * What the new agent tells the CLI on file descriptor 3, one JSON line each, until it is serving or has failed. The
 * last line is `ready` or `failed`; a pipe that ends without one means the process died.
 */
export const launchProgress: Shape<LaunchProgress> = (value, path) => {
  const { type } = progressType(value, path);
  if (type === "step") return progressStep(value, path);
  if (type === "ready") return progressReady(value, path);
  return progressFailed(value, path);
};

export type LaunchProgress =
  /** Something worth showing a person happened: `text` says it, `ms` since the process started. */
  | { readonly type: "step"; readonly text: string; readonly ms: number }
  | { readonly type: "ready"; readonly network: string; readonly socket: string; readonly ms: number }
  | { readonly type: "failed"; readonly error: LaunchFailure };

/** A MeshError on its way between processes. */
export interface LaunchFailure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

const failure: Shape<LaunchFailure> = openObject({ code: text, message: text, hint: optional(text) });
const progressType = openObject({ type: oneOf("step", "ready", "failed") });
const progressStep: Shape<LaunchProgress> = openObject({ type: oneOf("step"), text, ms: number });
const progressReady: Shape<LaunchProgress> = openObject({ type: oneOf("ready"), network: text, socket: text, ms: number });
const progressFailed: Shape<LaunchProgress> = openObject({ type: oneOf("failed"), error: failure });
