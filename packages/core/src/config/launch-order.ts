import type { ErrorFacts } from "../errors.ts";
import { errorFactsShape } from "./error-facts-shape.ts";
import {
  type DatapathBackend,
  datapathBackend,
  deviceName,
  endpointText,
  type LogLevel,
  logLevel,
  nameText,
  nodeBits,
  portNumber,
  prefix4Text,
  relayLimit,
  tcpRelayPort,
} from "./settings.ts";
import { flag, number, object, oneOf, openObject, optional, type Shape, text } from "./shape.ts";

/**
 * What the CLI tells a new agent process on its standard input, as one JSON line. Secrets (an invite) travel here and
 * nowhere else: not in arguments, not in the environment.
 */
export const launchOrder: Shape<LaunchOrder> = object({
  command: oneOf("init", "join", "up", "clean"),
  stateRoot: text,
  /** Required for `up` and `clean`; for `init` the name of the new network; for `join`, what the invite must be for. */
  network: optional(nameText),
  invite: optional(text),
  /** This node's name; default: what the host calls itself. */
  nodeName: optional(nameText),
  /** `init` only: IPv4 prefix of the mesh; default: a free /16 in 10.64.0.0/10. */
  cidr: optional(prefix4Text),
  /** `init` only: length of one node's IPv4 prefix. */
  nodeBits: optional(nodeBits),
  tunName: optional(deviceName),
  /** Default: the native engine, or where it cannot be had, its twin in TypeScript. */
  backend: optional(datapathBackend),
  udpPort: optional(portNumber),
  /** `addr:port` of the TCP control plane. */
  listen: optional(endpointText),
  /** Mbit/s for each member; default: as before, at first 100. */
  relayLimit: optional(relayLimit),
  /** Routers are asked for no port mapping. */
  noPortMap: optional(flag),
  /** Port of TLS WebSocket, 0 for none; default: as before, at first 0. */
  tcpRelay: optional(tcpRelayPort),
  logLevel: optional(logLevel),
  /** Log lines go to standard error too. */
  foreground: optional(flag),
});

export interface LaunchOrder {
  readonly command: "init" | "join" | "up" | "clean";
  readonly stateRoot: string;
  readonly network?: string;
  readonly invite?: string;
  readonly nodeName?: string;
  readonly cidr?: string;
  readonly nodeBits?: number;
  readonly tunName?: string;
  readonly backend?: DatapathBackend;
  readonly udpPort?: number;
  readonly listen?: string;
  readonly relayLimit?: number;
  readonly noPortMap?: boolean;
  readonly tcpRelay?: number;
  readonly logLevel?: LogLevel;
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
  | { readonly type: "failed"; readonly error: ErrorFacts };

const progressType = openObject({ type: oneOf("step", "ready", "failed") });
const progressStep: Shape<LaunchProgress> = openObject({ type: oneOf("step"), text, ms: number });
const progressReady: Shape<LaunchProgress> = openObject({ type: oneOf("ready"), network: text, socket: text, ms: number });
const progressFailed: Shape<LaunchProgress> = openObject({ type: oneOf("failed"), error: errorFactsShape });
