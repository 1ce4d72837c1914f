import type { PingView } from "@mesh/core/api";
import type { PingSummary } from "../commands/ping.ts";
import { formatElapsed, formatRtt } from "./quantities.ts";
import type { Style } from "./style.ts";

export function renderPing({ node, address, answered, path, rttMs, session, throughTunnel }: PingView, { paint }: Style): string {
  const peer = `${node} (${address})`;
  if (!answered) return `${peer}: ${paint.red("unanswered")}, ${path}\n`;
  const time = rttMs === undefined ? "" : ` in ${formatRtt(rttMs)}`;
  const tunnel = !session
    ? paint.yellow(", no session yet")
    : throughTunnel === false
      ? paint.red(", but no packet comes through the tunnel")
      : "";
  return `${peer}: ${path}${time}${tunnel}\n`;
}

/** A line under several probes; one alone says everything itself, unless a direct path was waited for. */
export function renderPingSummary(summary: PingSummary, untilDirect = false): string {
  const { sent, answered, pings } = summary;
  const direct = directNote(summary, untilDirect);
  if (sent < 2) return direct;
  const blocked = pings.filter(({ throughTunnel }) => throughTunnel === false).length;
  const note =
    blocked === 0
      ? ""
      : `The path answers, but ${blocked === sent ? "no packet comes" : "not every packet comes"} through the tunnel: look at the log of both ends\n`;
  const times = pings.flatMap(({ rttMs }) => (rttMs === undefined ? [] : [rttMs]));
  const counts = `${sent} probes, ${answered === sent ? "all" : answered === 0 ? "none" : answered} answered`;
  if (times.length === 0) return `${counts}\n${direct}`;
  const middle = times.reduce((sum, time) => sum + time, 0) / times.length;
  return `${counts}, RTT from ${formatRtt(Math.min(...times))} to ${formatRtt(Math.max(...times))}, ${formatRtt(middle)} on average\n${direct}${note}`;
}

/** When the path became direct: of interest where it was not from the beginning, or was waited for. */
function directNote({ sent, direct, pings }: PingSummary, untilDirect: boolean): string {
  if (direct !== undefined)
    return direct.probe > 1 || untilDirect ? `Direct from probe ${direct.probe} on, after ${formatElapsed(direct.afterMs)}\n` : "";
  if (!untilDirect) return "";
  const probes = sent === 1 ? "one probe" : `${sent} probes`;
  return `No direct path after ${probes}. See why: mesh why ${pings[0]?.node ?? "<node>"}\n`;
}
