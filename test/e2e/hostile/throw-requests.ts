import { connect } from "node:net";
import { SeededRandom } from "@mesh/core/testing";

/** What came back on one connection until the agent ended it. */
export interface RequestOutcome {
  readonly name: string;
  readonly answer: string;
}

/** A client of the API socket that is not one of ours: bytes that it writes and then leaves the connection open. */
interface Client {
  readonly name: string;
  readonly bytes: string | Uint8Array;
}

const SEED = 1;
/** Milliseconds; the agent gives a client 5 s for its request and looks each second. */
const TIMEOUT = 10_000;

function clients(): readonly Client[] {
  const random = new SeededRandom(SEED);
  const post = (path: string, body: string): string =>
    `POST ${path} HTTP/1.1\r\nhost: mesh\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  return [
    ...Array.from({ length: 10 }, (_, n) => ({ name: `silent ${n}`, bytes: "" })),
    ...Array.from({ length: 10 }, (_, n) => ({ name: `random bytes ${n}, seed ${SEED}`, bytes: random.bytes(1 + random.below(4_000)) })),
    {
      name: "half a request",
      bytes: "POST /v1/invite HTTP/1.1\r\nhost: mesh\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    },
    { name: "half a head", bytes: "GET /v1/status HTTP/1.1\r\nhost" },
    { name: "a head without end", bytes: `GET /v1/status HTTP/1.1\r\nx: ${"x".repeat(100_000)}` },
    { name: "a body that is too long", bytes: post("/v1/invite", JSON.stringify({ x: "x".repeat(1_000_000) })) },
    { name: "a deep body", bytes: post("/v1/invite", "[".repeat(10_000)) },
    { name: "a body of a wrong shape", bytes: post("/v1/ping", '{"target":{"__proto__":[]}}') },
    { name: "no such call", bytes: "GET /v1/../../etc/passwd HTTP/1.1\r\nhost: mesh\r\n\r\n" },
    { name: "a wrong method", bytes: "DELETE /v1/down HTTP/1.1\r\nhost: mesh\r\n\r\n" },
    { name: "two lengths", bytes: "POST /v1/down HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}" },
  ];
}

/** All clients at once. Rejects when the agent lets one of them stay. */
export async function throwRequests(socket: string): Promise<readonly RequestOutcome[]> {
  return await Promise.all(clients().map((client) => throwRequest(socket, client)));
}

async function throwRequest(path: string, { name, bytes }: Client): Promise<RequestOutcome> {
  const parts: Buffer[] = [];
  const socket = connect(path);
  try {
    await new Promise<void>((resolve, reject) => {
      // The agent may hang up while we still write.
      socket.on("error", () => {});
      socket.on("data", (part) => parts.push(part)).once("close", () => resolve());
      socket.setTimeout(TIMEOUT, () => reject(new Error(`the agent still keeps "${name}" after ${TIMEOUT / 1_000} s`)));
      socket.write(bytes);
    });
  } finally {
    socket.destroy();
  }
  return { name, answer: Buffer.concat(parts).toString() };
}
