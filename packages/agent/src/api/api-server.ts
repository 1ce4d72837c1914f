/**
 * The agent's API: HTTP and JSON on a Unix socket, one request a connection. The way of a request:
 *
 *  1. node:http reads head and body within the request timeout, the body up to MAX_REQUEST_BYTES;
 *  2. path and method find the route, the body is checked against the call's request shape;
 *  3. the handler answers; its answer is checked against the response shape;
 *  4. the answer, or an ErrorView, is written and the connection closed.
 *
 * Two answers are made of the handlers' status instead: a stream of its changes (event-stream.ts) and metrics (metrics.ts).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import {
  type ApiCall,
  type ApiHandlers,
  api,
  type ErrorView,
  EVENTS_PATH,
  MAX_REQUEST_BYTES,
  METRICS_PATH,
  ShapeError,
  type StatusView,
} from "@mesh/core/api";
import { type ErrorCode, errorFacts, MeshError } from "@mesh/core/errors";
import type { Clock } from "@mesh/core/ports";
import type { Logger } from "pino";
import { EventStream } from "./event-stream.ts";
import { measureLoopLag, renderMetrics } from "./metrics.ts";
import { Refused } from "./refused.ts";
import { claimSocket } from "./socket-claim.ts";

/** `import` of node:http also loads the runtime's WebSocket, which costs 40 ms and memory (nodejs/node#59686); this does not. */
const { createServer } = process.getBuiltinModule("node:http");

/** Bounds of what one client can cost, in milliseconds and pieces. */
export interface ApiLimits {
  /** From the connection's start to the request's last byte. */
  readonly requestTimeout: number;
  /** A client that takes nothing of its answer for so long is dropped. */
  readonly writeTimeout: number;
  /** How long `close` lets started answers finish: the one to `down` is among them. */
  readonly closeTimeout: number;
  /** Each connection holds at most one body and one answer. Further ones are closed at once. */
  readonly maxConnections: number;
}

/**
 * Requests come from processes of the same host in one write: seconds are for a busy host, longer is a stopped or hostile
 * client. People and their scripts stay far below 64 connections; 64 bodies are 4 MiB.
 */
const LIMITS: ApiLimits = { requestTimeout: 5_000, writeTimeout: 5_000, closeTimeout: 1_000, maxConnections: 64 };

/** Our own requests have five short header lines. */
const MAX_HEADER_BYTES = 8_192;

interface ApiServerOptions {
  /** Path of the Unix socket; its directory is made when only that is missing. */
  readonly socket: string;
  readonly handlers: ApiHandlers;
  readonly clock: Clock;
  readonly log: Pick<Logger, "error" | "warn">;
  readonly limits?: ApiLimits;
}

export interface ApiServer {
  /**
   * Removes the socket, lets started answers finish for a second and drops the rest. Close it last: until then a new
   * agent of the same network is refused. Idempotent; never fails.
   */
  close(): Promise<void>;
}

/** Takes the network's socket and serves on it. Throws MeshError `agent/already-running`. */
export async function openApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { handlers, clock, log, limits = LIMITS } = options;
  const status = async (): Promise<StatusView> => api.status.response(await handlers.status({}), "");
  const events = new EventStream({ status, clock, log, writeTimeout: limits.writeTimeout });
  const service: Service = { routes: apiRoutes(handlers, { status, events, clock }), log, limits };
  const server = createServer(
    {
      requestTimeout: limits.requestTimeout,
      headersTimeout: limits.requestTimeout,
      // Connections live at most twice as long as they may: looking more often would wake an idle agent for nothing.
      connectionsCheckingInterval: limits.requestTimeout,
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAliveTimeout: 0,
    },
    (request, response) => {
      void answer(request, response, service);
    },
  );
  server.maxConnections = limits.maxConnections;
  // What is sent behind a request is not carried out: its answer would come too late to be read.
  server.maxRequestsPerSocket = 1;
  server.on("clientError", refuseUnreadable);
  const claim = await claimSocket(server, options);
  server.on("error", (error) => log.error({ err: error }, "api socket failed"));

  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await claim.release();
    events.close();
    const ended = new Promise<void>((resolve) => server.close(() => resolve()));
    const cancel = clock.at(clock.now() + limits.closeTimeout, () => server.closeAllConnections());
    await ended;
    cancel();
  };
  return {
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

/** One call with its handler: takes the parsed body, and answers. */
interface Route {
  readonly method: "GET" | "POST";
  readonly answer: (body: unknown, response: ServerResponse) => Promise<Answer | undefined>;
}

/** `view` is sent as JSON, `text` as it is. */
type Answer =
  | { readonly status: number; readonly view: unknown }
  | { readonly status: number; readonly text: string; readonly contentType: string };

type Routes = ReadonlyMap<string, Route>;

interface Observation {
  readonly status: () => Promise<StatusView>;
  readonly events: EventStream;
  readonly clock: Clock;
}

function apiRoutes(handlers: ApiHandlers, { status, events, clock }: Observation): Routes {
  const calls: { readonly [Name in keyof ApiHandlers]: readonly [string, Route] } = {
    status: route(api.status, (request) => handlers.status(request)),
    routes: route(api.routes, (request) => handlers.routes(request)),
    invite: route(api.invite, (request) => handlers.invite(request)),
    ping: route(api.ping, (request) => handlers.ping(request)),
    why: route(api.why, (request) => handlers.why(request)),
    netcheck: route(api.netcheck, (request) => handlers.netcheck(request)),
    leave: route(api.leave, (request) => handlers.leave(request)),
    down: route(api.down, (request) => handlers.down(request)),
  };
  const follow: Route = {
    method: "GET",
    answer: async (_body, response) => {
      await events.add(response);
      return undefined;
    },
  };
  const scrape: Route = {
    method: "GET",
    answer: async () => {
      const loopLag = await measureLoopLag(clock);
      return { status: 200, ...(await renderMetrics({ status: await status(), wallNow: clock.wallNow(), loopLag, process })) };
    },
  };
  return new Map([...Object.values(calls), [EVENTS_PATH, follow], [METRICS_PATH, scrape]]);
}

function route<Request, Response>(
  call: ApiCall<Request, Response>,
  handle: (request: Request) => Promise<Response>,
): readonly [string, Route] {
  const answer = async (body: unknown): Promise<Answer> => {
    const request = asUsage(() => call.request(body, ""));
    return { status: 200, view: call.response(await handle(request), "") };
  };
  return [call.path, { method: call.method, answer }];
}

interface Service {
  readonly routes: Routes;
  readonly log: ApiServerOptions["log"];
  readonly limits: ApiLimits;
}

async function answer(request: IncomingMessage, response: ServerResponse, service: Service): Promise<void> {
  const { url: path = "", method = "" } = request;
  response.on("error", () => {});
  try {
    const found = service.routes.get(path);
    if (found === undefined) throw new Refused(404, `There is no ${printable(path)} in this API.`);
    if (found.method !== method) {
      response.setHeader("allow", found.method);
      throw new Refused(405, `${path} is asked with ${found.method}.`);
    }
    const body = await readBody(request);
    const given = await found.answer(body, response);
    if (given !== undefined) send(response, given, service.limits);
  } catch (error) {
    if (request.destroyed && !request.complete) return;
    if (!(error instanceof Refused || error instanceof MeshError)) service.log.error({ err: error, path }, "api call failed");
    send(response, describe(error), service.limits);
  }
}

/** Reads the body; a GET has none, which reads as an empty object. */
async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  // The request is not destroyed when it is too long: its connection is needed for the answer.
  const body: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_REQUEST_BYTES) throw new Refused(413, `A request has at most ${MAX_REQUEST_BYTES} bytes.`);
    chunks.push(chunk);
  }
  if (request.method === "GET") {
    if (size > 0) throw new Refused(400, "A GET has no body.");
    return {};
  }
  if (!/^application\/json\s*(;|$)/i.test(request.headers["content-type"] ?? ""))
    throw new Refused(415, "The body must be JSON, with content-type: application/json.");
  return asUsage(() => JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks))));
}

function send(response: ServerResponse, answer: Answer, { writeTimeout }: ApiLimits): void {
  const { text, contentType } =
    "view" in answer ? { text: JSON.stringify(answer.view), contentType: "application/json; charset=utf-8" } : answer;
  response.socket?.setTimeout(writeTimeout, () => response.socket?.destroy());
  response.writeHead(answer.status, { "content-type": contentType, "content-length": Buffer.byteLength(text), connection: "close" });
  response.end(text);
}

/** What HTTP itself could not read, or what was not finished in time. */
function refuseUnreadable(error: NodeJS.ErrnoException, connection: Duplex): void {
  if (!connection.writable || error.code === "ECONNRESET") {
    connection.destroy();
    return;
  }
  const status = error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? "408 Request Timeout" : "400 Bad Request";
  const text = JSON.stringify(refusal("The request is not complete and valid HTTP."));
  const head = ["content-type: application/json; charset=utf-8", `content-length: ${Buffer.byteLength(text)}`, "connection: close"];
  connection.end(`HTTP/1.1 ${status}\r\n${head.join("\r\n")}\r\n\r\n${text}`, () => connection.destroy());
}

function asUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ShapeError) throw new Refused(400, `In the request, ${error.message}.`);
    throw new Refused(400, "The request's body is not JSON.");
  }
}

/** Codes that are the caller's to mend; all others are the agent's trouble and answer 500. */
const statusOf: Readonly<Partial<Record<ErrorCode, number>>> = {
  "usage/invalid": 400,
  "config/invalid": 400,
  "invite/not-admin": 403,
  "leave/holds-root": 409,
  "peer/unknown": 404,
  "peer/ambiguous": 409,
};

function describe(error: unknown): Answer {
  if (error instanceof Refused)
    return { status: error.status, view: error.status < 500 ? refusal(error.message) : overload(error.message) };
  const known: MeshError = error instanceof MeshError ? error : failedToAnswer();
  return { status: statusOf[known.code] ?? 500, view: { error: errorFacts(known) } satisfies ErrorView };
}

function failedToAnswer(): MeshError {
  return new MeshError("agent/failed", "The agent failed to answer; its log says why.", { reason: "an error inside the agent" });
}

function refusal(reason: string): ErrorView {
  return { error: errorFacts(new MeshError("usage/invalid", reason, { reason })) };
}

/** Right by itself, and too much at this moment. */
function overload(reason: string): ErrorView {
  return { error: errorFacts(new MeshError("agent/failed", reason, { reason }, { hint: "Try again when others have ended." })) };
}

/** A path of the client's, cut and without control characters, for a message. */
function printable(path: string): string {
  return path.slice(0, 80).replace(/[^\x20-\x7e]/g, "?");
}
