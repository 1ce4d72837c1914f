import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import { type ApiCall, EVENTS_PATH, type EventView, errorShape, eventShape, ShapeError } from "@mesh/core/api";
import { MeshError, meshErrorOf } from "@mesh/core/errors";
import { findServingProcess } from "./find-process.ts";
import { lastFailure } from "./last-failure.ts";

/** `import` of node:http also loads the runtime's WebSocket, 40 ms that no call needs (nodejs/node#59686); this does not. */
const { request: httpRequest } = process.getBuiltinModule("node:http");

/** A status of 10,000 nodes is 6 MB; what is longer is not an answer. */
const MAX_RESPONSE_BYTES = 32 * 1_048_576;

/** Milliseconds for a whole call. The agent answers from memory; the one that waits for packets is ping, and it gives up earlier. */
const CALL_TIMEOUT = 10_000;

export interface Agent {
  readonly socket: string;
  /** Where it says more, for a message. */
  readonly log?: string;
  /** Milliseconds for one whole call. */
  readonly timeout?: number;
}

/**
 * Makes one call. Throws MeshError: the agent's own, `agent/not-running` when nobody serves the socket, `host/not-root`
 * when this user may not open it, `agent/failed` when the answer is late, cut off or not what the contract says.
 */
export async function callAgent<Request, Response>(call: ApiCall<Request, Response>, request: Request, agent: Agent): Promise<Response> {
  const { status, text } = await exchange(call, JSON.stringify(request), agent);
  if (status !== 200) throw errorOf(text);
  const body = parseJson(text);
  return shaped(() => call.response(body, ""));
}

function errorOf(text: string): MeshError {
  const body = parseJson(text);
  return meshErrorOf(shaped(() => errorShape(body, "")).error);
}

/** What the agent answers in another form than JSON: its metrics. */
export async function fetchText(path: string, agent: Agent): Promise<string> {
  const { status, text } = await exchange({ method: "GET", path }, "", agent);
  if (status === 200) return text;
  throw errorOf(text);
}

/**
 * Follows the agent's events until they end, which they do with the agent, or `signal` is aborted. What came together is given
 * together; a type that only a newer agent knows is left out. Throws as {@link callAgent} when they do not begin.
 */
export async function followEvents(agent: Agent, { signal, onEvents }: FollowOptions): Promise<void> {
  const { timeout = CALL_TIMEOUT } = agent;
  const beginning = new AbortController();
  const limit = setTimeout(() => beginning.abort(), timeout);
  try {
    const response = await openCall({ method: "GET", path: EVENTS_PATH, signal: AbortSignal.any([signal, beginning.signal]) }, agent);
    if (response.statusCode !== 200) throw errorOf(await readText(response, agent));
    clearTimeout(limit);
    await readLines(response, agent, (lines) => onEvents(lines.flatMap(readEvent)));
  } catch (cause) {
    if (signal.aborted) return;
    if (cause instanceof MeshError) throw cause;
    if (beginning.signal.aborted) throw await unanswered(timeout, agent, cause);
    throw await connectionError(cause, agent);
  } finally {
    clearTimeout(limit);
  }
}

interface FollowOptions {
  readonly signal: AbortSignal;
  readonly onEvents: (events: readonly EventView[]) => void;
}

function readEvent(line: string): readonly EventView[] {
  const value = parseJson(line);
  const event = shaped(() => eventShape(value, ""));
  return event === undefined ? [] : [event];
}

/** Ends quietly when the stream does, also in the middle of a line: the agent may be killed. */
async function readLines(response: IncomingMessage, agent: Agent, onLines: (lines: readonly string[]) => void): Promise<void> {
  let parts: string[] = [];
  let size = 0;
  response.setEncoding("utf8");
  try {
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = chunk.split("\n");
      size += chunk.length;
      if (size > MAX_RESPONSE_BYTES) throw failed(`one of its events is longer than ${MAX_RESPONSE_BYTES} bytes`, agent);
      parts.push(lines[0] ?? "");
      if (lines.length === 1) continue;
      const rest = lines.at(-1) ?? "";
      const complete = [parts.join(""), ...lines.slice(1, -1)];
      parts = [rest];
      size = rest.length;
      onLines(complete);
    }
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ECONNRESET")) throw error;
  }
}

interface Exchange {
  readonly status: number;
  readonly text: string;
}

async function exchange(call: Pick<OpenCall, "method" | "path">, body: string, agent: Agent): Promise<Exchange> {
  const { timeout = CALL_TIMEOUT } = agent;
  const signal = AbortSignal.timeout(timeout);
  try {
    const response = await openCall({ ...call, body, signal }, agent);
    return { status: response.statusCode ?? 0, text: await readText(response, agent) };
  } catch (cause) {
    if (cause instanceof MeshError) throw cause;
    if (signal.aborted) throw await unanswered(timeout, agent, cause);
    throw await connectionError(cause, agent);
  }
}

interface OpenCall {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/** The beginning of the answer. */
async function openCall({ method, path, body = "", signal }: OpenCall, { socket }: Agent): Promise<IncomingMessage> {
  const headers = method === "GET" ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return await new Promise((resolve, reject) => {
    const request = httpRequest({ socketPath: socket, method, path, headers, agent: false, signal }, resolve);
    request.on("error", reject);
    request.end(method === "GET" ? undefined : body);
  });
}

async function readText(response: IncomingMessage, agent: Agent): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_RESPONSE_BYTES) throw failed(`its answer is longer than ${MAX_RESPONSE_BYTES} bytes`, agent);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable("it is not JSON");
  }
}

function shaped<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ShapeError) throw unreadable(`in it, ${error.message}`);
    throw error;
  }
}

/** Says which process it is that does not answer, and where to look. */
async function unanswered(timeout: number, agent: Agent, cause?: unknown): Promise<MeshError> {
  const server = await findServingProcess(agent.socket);
  const who = server === undefined ? "The agent" : `The agent, process ${server.pid},`;
  const reason = `there was no answer within ${timeout / 1_000} s${server?.isStopped === true ? ": the process is stopped" : ""}`;
  const next = server?.isStopped === true ? `Continue it: kill -CONT ${server.pid}. ` : "";
  return new MeshError(
    "agent/failed",
    `${who} did not answer as it should: ${reason}.`,
    { reason },
    { hint: next + logHint(agent), cause },
  );
}

async function connectionError(cause: unknown, agent: Agent): Promise<MeshError> {
  const { socket } = agent;
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTDIR") {
    const failure = agent.log === undefined ? undefined : await lastFailure(agent.log);
    const ended = failure === undefined ? "" : ` It ended by itself: ${failure.replace(/\.$/, "")}.`;
    const options = { hint: "Start it with: mesh up", cause };
    return new MeshError("agent/not-running", `The agent of this network is not running.${ended}`, { socket }, options);
  }
  if (code === "EACCES" || code === "EPERM") {
    const options = { hint: 'Run this as root (sudo mesh …), or become a member of the group "mesh".', cause };
    return new MeshError(
      "host/not-root",
      `This user may not use the agent's socket ${socket}.`,
      { action: "use the agent's socket" },
      options,
    );
  }
  return failed("it closed the connection before its answer was complete", agent, cause);
}

function failed(reason: string, agent: Agent, cause?: unknown): MeshError {
  return new MeshError("agent/failed", `The agent did not answer as it should: ${reason}.`, { reason }, { hint: logHint(agent), cause });
}

function logHint({ log }: Agent): string {
  return log === undefined ? "Its log says more." : `Its log says more: ${log}`;
}

function unreadable(reason: string): MeshError {
  const hint = "If it was started from another version: mesh down, then mesh up.";
  return new MeshError("agent/failed", `The agent's answer could not be read: ${reason}.`, { reason }, { hint });
}

/** Whether a process listens on the socket. */
export async function isServed(socket: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const connection = connect(socket);
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", () => resolve(false));
  });
}
