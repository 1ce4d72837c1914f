import type { PingView } from "@mesh/core/api";
import type { PingSummary } from "../commands/ping.ts";
import { formatRtt } from "./quantities.ts";
import type { Style } from "./style.ts";

export function renderPing({ node, address, answered, path, rttMs, session }: PingView, { paint }: Style): string {
  const peer = `${node} (${address})`;
  if (!answered) return `${peer}: ${paint.red("unanswered")}, ${path}\n`;
  const time = rttMs === undefined ? "" : ` in ${formatRtt(rttMs)}`;
  return `${peer}: ${path}${time}${session ? "" : paint.yellow(", no session yet")}\n`;
}

/** A line under several probes; one alone says everything itself. */
export function renderPingSummary({ sent, answered, pings }: PingSummary): string {
  if (sent < 2) return "";
  const times = pings.flatMap(({ rttMs }) => (rttMs === undefined ? [] : [rttMs]));
  const counts = `${sent} probes, ${answered === sent ? "all" : answered === 0 ? "none" : answered} answered`;
  if (times.length === 0) return `${counts}\n`;
  const middle = times.reduce((sum, time) => sum + time, 0) / times.length;
  return `${counts}, RTT from ${formatRtt(Math.min(...times))} to ${formatRtt(Math.max(...times))}, ${formatRtt(middle)} on average\n`;
}
