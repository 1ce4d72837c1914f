import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { api } from "@mesh/core/api";
import { callAgent, isServed } from "./client.ts";

let directory = "";
let socket = "";
let server: Server | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "client-"));
  socket = join(directory, "api.sock");
});

afterEach(async () => {
  await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  server = undefined;
  rmSync(directory, { recursive: true });
});

/** Serves what `answer` does with each connection, once the request's first bytes are there. */
async function serve(answer: (connection: Socket, request: string) => void): Promise<void> {
  const listening = createServer((connection) => {
    connection.on("error", () => {});
    connection.once("data", (request: Buffer) => answer(connection, request.toString()));
  });
  server = listening;
  await new Promise<void>((resolve) => listening.listen(socket, resolve));
}

function reply(status: string, body: string): (connection: Socket) => void {
  return (connection) =>
    connection.end(`HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
}

test("a call sends its request and gives the answer, and ignores what a newer agent adds", async () => {
  let seen = "";
  await serve((connection, request) => {
    seen = request;
    reply("200 OK", '{"invite":"mesh1","expiresAt":1,"uses":2,"reachableAt":["é"],"newer":{}}')(connection);
  });
  const view = await callAgent(api.invite, { uses: 2 }, { socket });
  assert.deepEqual(view, { invite: "mesh1", expiresAt: 1, uses: 2, reachableAt: ["é"] });
  assert.match(seen, /^POST \/v1\/invite HTTP\/1\.1\r\n.*content-type: application\/json\r\n.*\r\n\r\n\{"uses":2\}$/s);
});

test("a GET has no body", async () => {
  let seen = "";
  await serve((connection, request) => {
    seen = request;
    reply("200 OK", '{"version":1,"routes":[]}')(connection);
  });
  assert.deepEqual(await callAgent(api.routes, {}, { socket }), { version: 1, routes: [] });
  assert.match(seen, /^GET \/v1\/routes HTTP\/1\.1\r\n.*\r\n\r\n$/s);
});

test("the agent's own error comes through, also one that this version does not know", async () => {
  await serve(reply("404 Not Found", '{"error":{"code":"peer/unknown","message":"m","hint":"h","details":{"wanted":"x"}}}'));
  await assert.rejects(callAgent(api.ping, { target: "x" }, { socket }), {
    code: "peer/unknown",
    message: "m",
    hint: "h",
    details: { wanted: "x" },
  });
  await new Promise((resolve) => server?.close(resolve));
  await serve(reply("500 Oops", '{"error":{"code":"future/kind","message":"m"}}'));
  await assert.rejects(callAgent(api.down, {}, { socket }), { code: "future/kind", message: "m", hint: undefined });
});

const unreadable: readonly (readonly [string, (connection: Socket) => void, RegExp])[] = [
  ["an answer that is not JSON", reply("200 OK", "hello"), /not JSON/],
  ["an empty answer", reply("200 OK", ""), /not JSON/],
  ["half an answer's JSON", reply("200 OK", '{"version":1,"routes":['), /not JSON/],
  ["an answer off the contract", reply("200 OK", '{"version":1}'), /routes must be a list/],
  ["an error off the contract", reply("500 Oops", '{"oops":1}'), /error must be an object/],
  ["an answer that is not HTTP", (connection) => connection.end("hello\r\n\r\n"), /closed the connection/],
  ["a connection closed at once", (connection) => connection.destroy(), /closed the connection/],
  ["an answer cut off", (connection) => connection.end("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"), /closed the connection/],
];

for (const [what, answer, message] of unreadable) {
  test(`${what} is the agent's failure, said so`, async () => {
    await serve(answer);
    await assert.rejects(callAgent(api.routes, {}, { socket }), { code: "agent/failed", message });
  });
}

test("a silent agent is not waited for longer than the time given", async () => {
  await serve(() => {});
  await assert.rejects(callAgent(api.routes, {}, { socket, timeout: 30 }), { code: "agent/failed", message: /within 0.03 s/ });
});

test("nor is one that sends its answer byte by byte", async () => {
  let drip: NodeJS.Timeout | undefined;
  await serve((connection) => {
    connection.write("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
    drip = setInterval(() => connection.write(" "), 5);
    connection.once("close", () => clearInterval(drip));
  });
  await assert.rejects(callAgent(api.routes, {}, { socket, timeout: 60 }), { code: "agent/failed", message: /within 0.06 s/ });
});

test("an endless answer is refused", async () => {
  await serve((connection) => {
    connection.write("HTTP/1.1 200 OK\r\n\r\n");
    const chunk = Buffer.alloc(1_048_576, 0x20);
    const more = (): void => void (connection.writable && connection.write(chunk, more));
    more();
  });
  await assert.rejects(callAgent(api.routes, {}, { socket }), { code: "agent/failed", message: /longer than/ });
});

test("no socket, and one that nobody serves, mean that no agent runs", async () => {
  const notRunning = { code: "agent/not-running", details: { socket }, hint: /mesh up/ };
  await assert.rejects(callAgent(api.routes, {}, { socket }), notRunning);
  assert.equal(await isServed(socket), false);
  await serve(() => {});
  assert.equal(await isServed(socket), true);
  // Closing removes only the name that was bound: what stands under the other one then is what a dead agent leaves.
  renameSync(socket, `${socket}.dead`);
  await new Promise((resolve) => server?.close(resolve));
  renameSync(`${socket}.dead`, socket);
  assert.equal(await isServed(socket), false);
  await assert.rejects(callAgent(api.routes, {}, { socket }), notRunning);
});

test("a socket of others is not taken for a missing agent", {
  skip: process.getuid?.() !== 0 && "needs root, to become someone else",
}, async () => {
  await serve(() => {});
  chmodSync(directory, 0o755);
  chmodSync(socket, 0o600);
  process.seteuid?.(65_534);
  try {
    await assert.rejects(callAgent(api.routes, {}, { socket }), { code: "host/not-root", hint: /sudo/ });
  } finally {
    process.seteuid?.(0);
  }
});
