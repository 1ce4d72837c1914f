import type { EventView, StatusView } from "@mesh/core/api";
import { renderStatus } from "./status.ts";
import type { Style } from "./style.ts";

/** ECMA-48: home, erase to the end of the line, erase to the end of the screen. Nothing flickers, because nothing is cleared first. */
const [HOME, ERASE_LINE, ERASE_BELOW] = ["\x1b[H", "\x1b[K", "\x1b[J"];

/** The status in place of what stands on the terminal, cut to its lines. */
export function renderScreen(status: StatusView, rows: number | undefined, style: Style): string {
  const all = renderStatus(status, style).trimEnd().split("\n");
  // The last line is left to the cursor.
  const room = rows === undefined ? all.length : Math.max(1, rows - 1);
  const shown = all.length <= room ? all : [...all.slice(0, room - 1), style.paint.dim(`and ${all.length - room + 1} more lines`)];
  return `${HOME}${shown.map((line) => `${line}${ERASE_LINE}\n`).join("")}${ERASE_BELOW}`;
}

/** What changed, a line each; the status when it is the first. What came together has one time. */
export function renderEvents(events: readonly EventView[], style: Style): string {
  return events
    .map((event) =>
      event.type === "status" ? `${renderStatus(event.status, style)}\n` : `${timeOf(event.at)}  ${renderChange(event, style)}\n`,
    )
    .join("");
}

type ChangeEvent = Exclude<EventView, { readonly type: "status" }>;

function renderChange(event: ChangeEvent, { paint }: Style): string {
  switch (event.type) {
    case "self": {
      const { name, address4, address6, role } = event.self;
      return `this node: ${name}, ${role}, ${address4 === undefined ? "" : `${address4}, `}${address6}`;
    }
    case "tunnel":
      return `tunnel: ${event.tunnel.device}, mtu ${event.tunnel.mtu}, udp ${event.tunnel.udpPort}, engine ${event.tunnel.backend}`;
    case "control":
      return `control: ${event.control.listen.length === 0 ? "nowhere" : event.control.listen.join(", ")}; links: ${event.control.links}`;
    case "peer-added":
      return `${event.peer.name}: ${paint.green("new")}, ${event.peer.address4}, ${event.peer.state}, ${event.peer.path}`;
    case "peer-gone":
      return `${event.name}: ${paint.red("gone")}`;
    case "peer-changed":
      return `${event.peer.name}: ${event.peer.conflict === true ? paint.red("in conflict") : "changed"}, ${event.peer.role}, ${event.peer.address4}`;
    case "peer-state": {
      const mark = event.to === "alive" ? paint.green : event.to === "failed" ? paint.red : paint.yellow;
      return `${event.name}: ${event.from} → ${mark(event.to)}`;
    }
    case "peer-path":
      return `${event.name}: ${event.to}`;
    case "peer-session":
      return `${event.name}: ${event.sessionAt === undefined ? "session ended" : "new session keys"}`;
    case "peer-link":
      return `${event.name}: control link ${event.linked ? "up" : "down"}`;
    case "health-added":
      return `health: ${(event.health.level === "error" ? paint.red : paint.yellow)(event.health.text)}`;
    case "health-cleared":
      return `health: ${paint.green("no longer:")} ${event.health.text}`;
  }
}

/** Local, to the second: changes come in seconds. */
function timeOf(at: number): string {
  const time = new Date(at);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}
