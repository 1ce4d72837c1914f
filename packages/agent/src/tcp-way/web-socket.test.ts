import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setImmediate as settled } from "node:timers/promises";
import type { Endpoint, Ip } from "@mesh/core/ports";
import { systemClock } from "../runtime/clock.ts";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { selfSignedCertificate } from "./certificate.ts";
import { DATAGRAMS_PATH, HEAD_START, OPEN_TIMEOUT, openWebSocket } from "./web-socket.ts";

const signal: AbortSignal = new AbortController().signal;
const open = { path: DATAGRAMS_PATH, clock: systemClock(), signal };

async function listening(t: TestContext, server: Server): Promise<Endpoint> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { ip: "127.0.0.1" as Ip, port: (server.address() as AddressInfo).port };
}

const strangers: Readonly<Record<string, { readonly make: () => Server; readonly says: RegExp }>> = {
  "answers as a web server does": {
    make: () => createHttpsServer(selfSignedCertificate(), (_request, response) => response.writeHead(404).end()),
    says: /: Unexpected server response: 404$/,
  },
  "speaks no TLS": {
    make: () => createServer((socket) => socket.end("220 mail\r\n")),
    says: /: TLS failed: /,
  },
  "hangs up": { make: () => createServer((socket) => socket.destroy()), says: /disconnected|ECONNRESET|hung up/ },
};
for (const [what, { make, says }] of Object.entries(strangers)) {
  test(`a server that ${what} is told of in one sentence`, async (t) => {
    const endpoint = await listening(t, make());
    await assert.rejects(openWebSocket({ ...open, endpoints: [endpoint] }), (error: Error) => {
      assert.match(error.message, new RegExp(`^127.0.0.1:${endpoint.port}: [^\n]+$`));
      assert.match(error.message, says);
      return true;
    });
  });
}

test("every endpoint says why", async (t) => {
  const endpoint = await listening(
    t,
    createServer((socket) => socket.destroy()),
  );
  const refusing = { ip: "127.0.0.1" as Ip, port: 1 };
  await assert.rejects(
    openWebSocket({ ...open, endpoints: [refusing, endpoint] }),
    /^Error: 127.0.0.1:1: connect ECONNREFUSED.*; 127.0.0.1:\d+: /,
  );
});

test("a server that says nothing is given up after 10 s, and the next tried beside it after 250 ms", async (t) => {
  const silent = [createServer(() => {}), createServer(() => {})];
  const endpoints = await Promise.all(silent.map((server) => listening(t, server)));
  const clock = new ManualClock(0);
  const [first, second] = silent.map((server) => once(server, "connection"));
  const opening = openWebSocket({ ...open, clock, endpoints });
  opening.catch(() => {});
  await first;
  clock.advance(HEAD_START);
  await second;
  clock.advance(OPEN_TIMEOUT);
  await assert.rejects(opening, /no answer for 10 s; .*no answer for 10 s/);
  assert.equal(clock.timerCount, 0);
});

test("when it is not wanted any more, nothing stays open", async (t) => {
  const server = createServer(() => {});
  const endpoint = await listening(t, server);
  const stop = new AbortController();
  const connected = once(server, "connection");
  const opening = openWebSocket({ ...open, clock: new ManualClock(0), endpoints: [endpoint], signal: stop.signal });
  opening.catch(() => {});
  const [socket] = (await connected) as [Socket];
  socket.resume();
  stop.abort(new Error("not wanted"));
  await assert.rejects(opening, /not wanted/);
  if (!socket.destroyed) await once(socket, "close");
  await settled();
});
