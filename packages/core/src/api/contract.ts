import { flag, object, optional, type Shape, text, wholeNumber } from "../config/shape.ts";
import { type NetcheckView, netcheckShape } from "./netcheck-view.ts";
import {
  type InviteView,
  inviteShape,
  type LeaveView,
  leaveShape,
  type PingView,
  pingShape,
  type RoutesView,
  routesShape,
  type StatusView,
  statusShape,
} from "./views.ts";
import { type WhyView, whyShape } from "./why-view.ts";

/** One call of the API: JSON over HTTP on the agent's Unix socket. Both sides check what they get against the shapes. */
export interface ApiCall<Request, Response> {
  readonly method: "GET" | "POST";
  readonly path: `/v1/${string}`;
  readonly request: Shape<Request>;
  readonly response: Shape<Response>;
}

export interface InviteRequest {
  /** Default: {@link DEFAULT_INVITE_USES}. */
  readonly uses?: number;
  /** Default: {@link DEFAULT_INVITE_SECONDS}. */
  readonly ttlSeconds?: number;
}

interface WhyRequest {
  /** As of ping; or a prefix within a node's subnet. */
  readonly target: string;
}

interface PingRequest {
  /** Name, address inside the mesh, or at least 8 digits of the node id. */
  readonly target: string;
}

export interface LeaveRequest {
  /** Also when this node holds the network's root key, which is lost with it. */
  readonly force?: boolean;
}

export type Empty = Readonly<Record<never, never>>;

const empty: Shape<Empty> = object({});

/** Lost or copied, an invite lets in one stranger at most, and soon nobody. */
export const DEFAULT_INVITE_USES = 1;
export const DEFAULT_INVITE_SECONDS = 3_600;

/** Uses one invite may have at most. */
export const MAX_INVITE_USES = 1_000;

/** An invite lives 30 days at most: it is a secret on paper and in chats. */
export const MAX_INVITE_SECONDS: number = 30 * 86_400;

export const api: Api = {
  status: { method: "GET", path: "/v1/status", request: empty, response: statusShape },
  routes: { method: "GET", path: "/v1/routes", request: empty, response: routesShape },
  invite: {
    method: "POST",
    path: "/v1/invite",
    request: object({ uses: optional(wholeNumber(1, MAX_INVITE_USES)), ttlSeconds: optional(wholeNumber(1, MAX_INVITE_SECONDS)) }),
    response: inviteShape,
  },
  ping: { method: "POST", path: "/v1/ping", request: object({ target: text }), response: pingShape },
  why: { method: "POST", path: "/v1/why", request: object({ target: text }), response: whyShape },
  /** Asks each member that relays once and waits up to a second for their answers; sends nothing else. */
  netcheck: { method: "POST", path: "/v1/netcheck", request: empty, response: netcheckShape },
  /**
   * Ends this node's membership for good: its removal is signed and told, then keys and state are deleted. Answered when it is
   * durable and on its way; the socket closes when everything is undone. MeshError `leave/holds-root` or `leave/unheard` unless forced.
   */
  leave: { method: "POST", path: "/v1/leave", request: object({ force: optional(flag) }), response: leaveShape },
  /** Answered before the agent stops; the socket closes when everything is undone. */
  down: { method: "POST", path: "/v1/down", request: empty, response: empty },
};

interface Api {
  readonly status: ApiCall<Empty, StatusView>;
  readonly routes: ApiCall<Empty, RoutesView>;
  readonly invite: ApiCall<InviteRequest, InviteView>;
  readonly ping: ApiCall<PingRequest, PingView>;
  readonly why: ApiCall<WhyRequest, WhyView>;
  readonly netcheck: ApiCall<Empty, NetcheckView>;
  readonly leave: ApiCall<LeaveRequest, LeaveView>;
  readonly down: ApiCall<Empty, Empty>;
}

/** What the agent's API server asks its owner; one method per call. A thrown MeshError becomes an ErrorView. */
export type ApiHandlers = {
  readonly [Name in keyof Api]: Api[Name] extends ApiCall<infer Request, infer Response> ? (request: Request) => Promise<Response> : never;
};

/** Largest request body the server reads. */
export const MAX_REQUEST_BYTES = 65_536;
