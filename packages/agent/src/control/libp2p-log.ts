import { inspect } from "node:util";
import type { ComponentLogger, Logger } from "@libp2p/interface";
import type { Logger as Log } from "pino";

/**
 * libp2p's log lines on pino's `debug`. Its `error` is debug too: it reports every failed dial and every refused
 * connection there, which for a mesh of laptops is daily business. Its `trace` is dropped.
 */
export function libp2pLog(log: Log): ComponentLogger {
  return { forComponent: (name) => componentLog(log, name) };
}

function componentLog(log: Log, component: string): Logger {
  const write = (format: unknown, ...values: unknown[]): void => {
    if (log.isLevelEnabled("debug")) log.debug({ component }, fillIn(format, values));
  };
  const drop = Object.assign((): void => {}, { enabled: false });
  return Object.assign(write, {
    enabled: log.isLevelEnabled("debug"),
    error: write,
    trace: drop,
    newScope: (name: string) => componentLog(log, `${component}:${name}`),
  });
}

/** printf as libp2p uses it: one letter per value (%s, %p, %a, %e …); every value is written as its text. */
function fillIn(format: unknown, values: readonly unknown[]): string {
  let used = 0;
  const text = asText(format).replaceAll(/%([a-zA-Z%])/g, (whole: string, letter: string) => {
    if (letter === "%") return "%";
    return used < values.length ? asText(values[used++]) : whole;
  });
  return [text, ...values.slice(used).map(asText)].join(" ");
}

function asText(value: unknown): string {
  if (value instanceof Error) return value.message;
  // Not JSON: libp2p logs objects that hold its component container, which throws at every property it does not know.
  return typeof value === "object" && value?.toString === Object.prototype.toString ? inspect(value, { depth: 0 }) : String(value);
}
