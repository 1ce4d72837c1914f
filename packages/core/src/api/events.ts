import { flag, number, oneOf, openObject, optional, type Shape, text } from "../config/shape.ts";
import {
  type ControlView,
  controlShape,
  type HealthView,
  healthShape,
  type PeerState,
  type PeerView,
  peerShape,
  peerStateShape,
  type SelfView,
  type StatusView,
  selfShape,
  statusShape,
  type TunnelView,
  tunnelShape,
  version1,
} from "./views.ts";

/**
 * One line of `/v1/events`: newline-delimited JSON. The first line is the whole status; each later one is one change, so that
 * a reader who applies them has what a status shows, except for what moves all the time: byte and packet counts, round trips,
 * when a peer was last heard, the counters, and ages in texts (`no answer for 4 s`). Under `version` 1 keys and types only
 * ever get added: a reader passes over a type that it does not know.
 */
export type EventView =
  | (Stamp & { readonly type: "status"; readonly status: StatusView })
  | (Stamp & { readonly type: "self"; readonly self: SelfView })
  /** The device, or the engine behind it. */
  | (Stamp & { readonly type: "tunnel"; readonly tunnel: TunnelView })
  | (Stamp & { readonly type: "control"; readonly control: ControlView })
  | (Stamp & { readonly type: "peer-added"; readonly peer: PeerView })
  | (Stamp & PeerName & { readonly type: "peer-gone" })
  /** Name, number, role, addresses, or whether it is in conflict. */
  | (Stamp & { readonly type: "peer-changed"; readonly peer: PeerView })
  | (Stamp & PeerName & { readonly type: "peer-state"; readonly from: PeerState; readonly to: PeerState })
  | (Stamp & PeerName & { readonly type: "peer-path"; readonly from: string; readonly to: string; readonly endpoint?: string })
  /** New keys; without `sessionAt` there is no session any more. */
  | (Stamp & PeerName & { readonly type: "peer-session"; readonly sessionAt?: number })
  | (Stamp & PeerName & { readonly type: "peer-link"; readonly linked: boolean })
  | (Stamp & { readonly type: "health-added"; readonly health: HealthView })
  | (Stamp & { readonly type: "health-cleared"; readonly health: HealthView });

interface Stamp {
  readonly version: 1;
  /** Wall milliseconds since 1970. */
  readonly at: number;
}

interface PeerName {
  readonly name: string;
  readonly id: string;
}

/** Where the stream is: a GET whose answer goes on until client or agent ends. */
export const EVENTS_PATH = "/v1/events";

/** Where Prometheus scrapes: a GET, text format 0.0.4. */
export const METRICS_PATH = "/metrics";

/** Clients that can follow the events at once: a few people and their tools. Each costs a comparison of two status a quarter second. */
export const MAX_LISTENERS = 16;

/** Bytes that may wait for one of them, the first line apart. 1,000 changes; who lets more come together does not read. */
export const MAX_LISTENER_BACKLOG_BYTES = 262_144;

const stamp = { version: version1, at: number } as const;
const named = { name: text, id: text } as const;

const eventShapes: { readonly [T in EventView["type"]]: Shape<Extract<EventView, { readonly type: T }>> } = {
  status: openObject({ ...stamp, type: oneOf("status"), status: statusShape }),
  self: openObject({ ...stamp, type: oneOf("self"), self: selfShape }),
  tunnel: openObject({ ...stamp, type: oneOf("tunnel"), tunnel: tunnelShape }),
  control: openObject({ ...stamp, type: oneOf("control"), control: controlShape }),
  "peer-added": openObject({ ...stamp, type: oneOf("peer-added"), peer: peerShape }),
  "peer-gone": openObject({ ...stamp, type: oneOf("peer-gone"), ...named }),
  "peer-changed": openObject({ ...stamp, type: oneOf("peer-changed"), peer: peerShape }),
  "peer-state": openObject({ ...stamp, type: oneOf("peer-state"), ...named, from: peerStateShape, to: peerStateShape }),
  "peer-path": openObject({ ...stamp, type: oneOf("peer-path"), ...named, from: text, to: text, endpoint: optional(text) }),
  "peer-session": openObject({ ...stamp, type: oneOf("peer-session"), ...named, sessionAt: optional(number) }),
  "peer-link": openObject({ ...stamp, type: oneOf("peer-link"), ...named, linked: flag }),
  "health-added": openObject({ ...stamp, type: oneOf("health-added"), health: healthShape }),
  "health-cleared": openObject({ ...stamp, type: oneOf("health-cleared"), health: healthShape }),
};

const typed: Shape<{ readonly version: 1; readonly type: string }> = openObject({ version: version1, type: text });

/** undefined for a type that only a newer agent knows. */
export const eventShape: Shape<EventView | undefined> = (value, path) => {
  const { type } = typed(value, path);
  return isEventType(type) ? eventShapes[type](value, path) : undefined;
};

function isEventType(type: string): type is EventView["type"] {
  return Object.hasOwn(eventShapes, type);
}
