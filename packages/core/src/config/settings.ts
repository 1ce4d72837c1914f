import { MAX_NODE_LENGTH } from "../address/address-plan.ts";
import { parseEndpoint } from "../address/endpoint.ts";
import { ipFamily, isUnicast } from "../address/ip.ts";
import { parsePrefix } from "../address/prefix.ts";
import { isName } from "../bytes/name.ts";
import { oneOf, type Shape, ShapeError, text, wholeNumber } from "./shape.ts";

/** What a person may set. The command line and the agent read it by these same rules; past them nothing checks again. */
export const nameText: Shape<string> = textThat(isName, "1 to 63 of a-z, 0-9 and -, neither first nor last a -, like home or laptop-b");

/** `addr:port`. */
export const endpointText: Shape<string> = textThat(
  (endpoint) => parseEndpoint(endpoint) !== undefined,
  "an address and a port, like 0.0.0.0:4100 or [::]:4100",
);

/** Whether a mesh of that size fits its nodes is for the two lengths together: see address/address-plan.ts. */
export const prefix4Text: Shape<string> = textThat((prefix) => {
  const ip = parsePrefix(prefix)?.ip;
  return ip !== undefined && ipFamily(ip) === 4 && isUnicast(ip);
}, "an IPv4 prefix for hosts, with zeros beyond its length, like 10.77.0.0/16");

/** At most 15 bytes (Linux: IFNAMSIZ without its closing zero); `ip` must not read it as an option, nor the kernel as a pattern or path. */
export const deviceName: Shape<string> = textThat(
  (device) => /^\w[\w.-]{0,14}$/.test(device),
  "a device name: at most 15 letters, digits, dots, dashes and underscores, like mesh0",
);

/** A mesh prefix has at least 8 bits and a node's 2 more, which isNodeLength of address-plan.ts asks for. */
export const NODE_BITS: { readonly min: number; readonly max: number } = { min: 10, max: MAX_NODE_LENGTH };
export const nodeBits: Shape<number> = wholeNumber(NODE_BITS.min, NODE_BITS.max);

export const portNumber: Shape<number> = wholeNumber(1, 65_535);

/** What is relayed for each member, in Mbit/s; 0: nothing. */
export const MAX_RELAY_LIMIT = 100_000;
export const relayLimit: Shape<number> = wholeNumber(0, MAX_RELAY_LIMIT);
export const DEFAULT_RELAY_LIMIT = 100;

/** Where TLS WebSocket is offered to those whose UDP is blocked; 0: nowhere. Others never try ports of system services but 443. */
export const tcpRelayPort: Shape<number> = (value, path) => {
  const port = wholeNumber(0, 65_535)(value, path);
  if (port !== 0 && port !== 443 && port < 1_024) throw new ShapeError(path, "443, a port from 1024 to 65535, or 0 for none");
  return port;
};

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const logLevel: Shape<LogLevel> = oneOf(...LOG_LEVELS);

/** Which implementation of the packet engine runs: C++ or, many times slower, TypeScript. */
export type DatapathBackend = "native" | "twin";
export const datapathBackend: Shape<DatapathBackend> = oneOf("native", "twin");

function textThat(isRight: (value: string) => boolean, expected: string): Shape<string> {
  return (value, path) => {
    const found = text(value, path);
    if (!isRight(found)) throw new ShapeError(path, expected);
    return found;
  };
}
