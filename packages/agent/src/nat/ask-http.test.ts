/** One request to a router that says what it likes, over raw TCP. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { askHttp, type HttpAnswer } from "./ask-http.ts";
import { ROUTER_IP } from "./fake-router-fixture.ts";

const uplink = { gateway: ROUTER_IP, device: "lo", source: ROUTER_IP };

interface Asked {
  readonly answer: Promise<HttpAnswer>;
  readonly aborter: AbortController;
  /** The router's end, when the request has come. */
  readonly connection: Promise<Socket>;
}

async function ask(t: TestContext, said: string): Promise<Asked> {
  const server = createServer();
  server.listen(0, ROUTER_IP);
  await once(server, "listening");
  const { promise: connection, resolve } = Promise.withResolvers<Socket>();
  server.on("connection", (socket) => {
    t.after(() => socket.destroy());
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write(said);
      resolve(socket);
    });
  });
  t.after(() => server.close());
  const aborter = new AbortController();
  const { port } = server.address() as AddressInfo;
  return { answer: askHttp({ uplink, port, path: "/", signal: aborter.signal }), aborter, connection };
}

test("an answer is read to its end", async (t) => {
  const { answer } = await ask(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  assert.deepEqual(await answer, { status: 200, text: "ok" });
});

test("a redirect is an answer, and is not followed", async (t) => {
  const { answer } = await ask(t, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2/\r\nContent-Length: 0\r\n\r\n");
  assert.equal((await answer).status, 302);
});

const useless: Readonly<Record<string, string>> = {
  "another protocol": "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
  "what is no HTTP": "\0\xff\r\n\r\n",
  "headers of 100 KB": `HTTP/1.1 200 OK\r\nX: ${"x".repeat(100_000)}\r\n\r\n`,
  "70 KB": `HTTP/1.1 200 OK\r\n\r\n${" ".repeat(70_000)}`,
};
for (const [what, said] of Object.entries(useless))
  test(`a router that says ${what} has not answered`, async (t) => {
    const { answer } = await ask(t, said);
    await assert.rejects(answer);
  });

const unending: Readonly<Record<string, string>> = {
  nothing: "",
  "that it goes on": "HTTP/1.1 100 Continue\r\n\r\n".repeat(50),
  "half of a header": "HTTP/1.1 200",
  "a text without end": "HTTP/1.1 200 OK\r\n\r\nhalf",
};
for (const [what, said] of Object.entries(unending))
  test(`a router that says ${what} is left when the time is up`, async (t) => {
    const { answer, aborter, connection } = await ask(t, said);
    const router = await connection;
    const closed = new Promise((resolve) => router.once("close", resolve));
    const rejected = assert.rejects(answer);
    aborter.abort();
    await rejected;
    await closed;
  });

test("aborted before, it does not begin; a path that HTTP does not know is no answer", async () => {
  const signal = AbortSignal.abort();
  await assert.rejects(askHttp({ uplink, port: 1, path: "/", signal }));
  await assert.rejects(askHttp({ uplink, port: 1, path: "/ \n", signal: new AbortController().signal }));
});
