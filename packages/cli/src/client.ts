import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import { type ApiCall, errorShape, ShapeError } from "@mesh/core/api";
import { MeshError, meshErrorOf } from "@mesh/core/errors";

/** `import` of node:http also loads the runtime's WebSocket, 40 ms that no call needs (nodejs/node#59686); this does not. */
const { request: httpRequest } = process.getBuiltinModule("node:http");

/** A status of 10,000 nodes is 6 MB; what is longer is not an answer. */
const MAX_RESPONSE_BYTES = 32 * 1_048_576;

/** Milliseconds for a whole call. The agent answers from memory; the one that waits for packets is ping, and it gives up earlier. */
const CALL_TIMEOUT = 10_000;

export interface Agent {
  readonly socket: string;
  /** Milliseconds for one whole call. */
  readonly timeout?: number;
}

/**
 * Makes one call. Throws MeshError: the agent's own, `agent/not-running` when nobody serves the socket, `host/not-root`
 * when this user may not open it, `agent/failed` when the answer is late, cut off or not what the contract says.
 */
export async function callAgent<Request, Response>(call: ApiCall<Request, Response>, request: Request, agent: Agent): Promise<Response> {
  const { status, text } = await exchange(call, JSON.stringify(request), agent);
  const body = parseJson(text);
  if (status === 200) return shaped(() => call.response(body, ""));
  throw meshErrorOf(shaped(() => errorShape(body, "")).error);
}

interface Exchange {
  readonly status: number;
  readonly text: string;
}

async function exchange(call: Pick<ApiCall<unknown, unknown>, "method" | "path">, body: string, agent: Agent): Promise<Exchange> {
  const { socket, timeout = CALL_TIMEOUT } = agent;
  const signal = AbortSignal.timeout(timeout);
  const headers = call.method === "GET" ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpRequest({ socketPath: socket, method: call.method, path: call.path, headers, agent: false, signal }, resolve);
      request.on("error", reject);
      request.end(call.method === "GET" ? undefined : body);
    });
    return { status: response.statusCode ?? 0, text: await readText(response) };
  } catch (cause) {
    if (cause instanceof MeshError) throw cause;
    throw connectionError(cause, { socket, timedOut: signal.aborted, timeout });
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_RESPONSE_BYTES) throw failed(`its answer is longer than ${MAX_RESPONSE_BYTES} bytes`);
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

interface Circumstances {
  readonly socket: string;
  readonly timedOut: boolean;
  readonly timeout: number;
}

function connectionError(cause: unknown, { socket, timedOut, timeout }: Circumstances): MeshError {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (timedOut) return failed(`there was no answer within ${timeout / 1_000} s`, cause);
  if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTDIR") {
    const options = { hint: "Start it with: mesh up", cause };
    return new MeshError("agent/not-running", "The agent of this network is not running.", { socket }, options);
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
  return failed("it closed the connection before its answer was complete", cause);
}

function failed(reason: string, cause?: unknown): MeshError {
  return new MeshError(
    "agent/failed",
    `The agent did not answer as it should: ${reason}.`,
    { reason },
    { hint: "Its log says more.", cause },
  );
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
