import { type IncomingMessage, request } from "node:http";
import type { Uplink } from "./uplinks.ts";

export interface HttpCall {
  readonly uplink: Uplink;
  readonly port: number;
  /** With its query. */
  readonly path: string;
  /** Makes it a POST. */
  readonly soap?: { readonly action: string; readonly body: string };
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

/** Device descriptions are some 10 KiB. */
const MAX_ANSWER_BYTES = 65_536;

/**
 * One request to the router itself, whatever its answers point at, over a connection of its own. Redirects are not followed.
 * Rejects when the signal is aborted, or the answer is too long or none.
 */
export async function askHttp({ uplink, port, path, soap, signal }: HttpCall): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  const onClose = (): void => reject(new Error("the connection is over"));
  const body = Buffer.from(soap?.body ?? "");
  const headers = {
    connection: "close",
    ...(soap !== undefined && {
      "content-type": 'text/xml; charset="utf-8"',
      soapaction: `"${soap.action}"`,
      "content-length": body.length,
    }),
  };
  const options = { host: uplink.gateway, port, path, localAddress: uplink.source, agent: false, headers, signal };
  const call = request({ ...options, method: soap === undefined ? "GET" : "POST" }, (answer) => {
    // From here on the answer says how it ends; the connection may close before all of it is read.
    call.off("close", onClose);
    readText(answer).then((text) => resolve({ status: answer.statusCode ?? 0, text }), reject);
  });
  call.on("error", reject);
  // Who switches to another protocol is cut off without an error.
  call.on("close", onClose);
  call.end(body);
  return await promise.finally(() => call.destroy());
}

async function readText(answer: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new RangeError("the answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
