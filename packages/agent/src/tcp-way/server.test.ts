import assert from "node:assert/strict";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { get } from "node:https";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock, Endpoint, Ip } from "@mesh/core/ports";
import pino from "pino";
import { WebSocket } from "ws";
import { systemClock } from "../runtime/clock.ts";
import { openTcpWay, type TcpWayClient } from "./client.ts";
import { Counts } from "./counts.ts";
import { openTcpWayServer, type TcpWayServer } from "./server.ts";
import { DATAGRAMS_PATH, STREAM_PATH } from "./web-socket.ts";

const LOOPBACK = "127.0.0.1" as Ip;
const log = pino({ level: "silent" });

/** An offering agent: its engine, which answers whatever begins with 1, or with 3 as cookies do, and its control plane, which says everything back. */
class Offering {
  readonly engine: UdpSocket = createSocket("udp4");
  readonly control = createServer((socket) => {
    this.streams.push(socket);
    socket.pipe(socket);
    socket.on("error", () => {});
  });
  readonly streams: Socket[] = [];
  readonly counts: Counts = new Counts();
  readonly heardFrom: { readonly address: string; readonly port: number; readonly bytes: Buffer }[] = [];
  server!: TcpWayServer;

  static async open(t: TestContext, clock: Clock = systemClock()): Promise<Offering> {
    const offering = new Offering();
    const { engine, control, counts } = offering;
    engine.on("message", (bytes, { address, port }) => {
      offering.heardFrom.push({ address, port, bytes });
      if (bytes[0] === 1 || bytes[0] === 3) engine.send(bytes, port, address);
    });
    engine.bind(0, "127.0.0.1");
    control.listen(0, "127.0.0.1");
    await Promise.all([once(engine, "listening"), once(control, "listening")]);
    const controlAt = (): Endpoint => ({ ip: LOOPBACK, port: (control.address() as AddressInfo).port });
    offering.server = await openTcpWayServer({
      port: 0,
      enginePort: engine.address().port,
      controlAt,
      clock,
      log,
      counts,
      maxConnections: 8,
    });
    t.after(async () => {
      await offering.server.close();
      engine.close();
      control.close();
      for (const socket of offering.streams) socket.destroy();
    });
    return offering;
  }

  get endpoint(): Endpoint {
    return { ip: LOOPBACK, port: this.server.port };
  }

  webSocket(path: string): WebSocket {
    const socket = new WebSocket(`wss://127.0.0.1:${this.server.port}${path}`, { rejectUnauthorized: false });
    socket.on("error", () => {});
    return socket;
  }
}

/** An asking agent: its engine, and a way to the offering one. */
async function ask(
  t: TestContext,
  offering: Offering,
  ip: Ip = LOOPBACK,
): Promise<{ readonly engine: UdpSocket; readonly way: TcpWayClient; readonly closed: string[] }> {
  const engine = createSocket("udp4");
  engine.bind(0, "127.0.0.1");
  await once(engine, "listening");
  const closed: string[] = [];
  const way = await openTcpWay({
    endpoints: [{ ...offering.endpoint, ip }],
    clock: systemClock(),
    signal: new AbortController().signal,
    counts: new Counts(),
    enginePort: engine.address().port,
    onClosed: (reason) => closed.push(reason),
  });
  t.after(() => {
    way.close();
    engine.close();
  });
  return { engine, way, closed };
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!isSo()) {
    assert.ok(performance.now() < deadline, what);
    await sleep(5);
  }
}

test("datagrams cross both ways, whole and apart; to the engine they come from a loopback address that is not its own", async (t) => {
  const offering = await Offering.open(t);
  const { engine, way } = await ask(t, offering);
  const answers: Buffer[] = [];
  engine.on("message", (bytes) => answers.push(bytes));
  const sizes = [1, 2, 148, 1_452, 9_000, 60_000];
  for (const size of sizes) engine.send(Buffer.alloc(size, 1), way.endpoint.port, way.endpoint.ip);
  await until("all answers", () => answers.length === sizes.length);
  assert.deepEqual(
    answers.map(({ length }) => length),
    sizes,
  );
  assert.ok(offering.heardFrom.every(({ address }) => address.startsWith("127.") && !address.startsWith("127.0.")));
  assert.equal(new Set(offering.heardFrom.map(({ port }) => port)).size, 1);
});

test("the way takes datagrams of its own engine alone", async (t) => {
  const offering = await Offering.open(t);
  const { engine, way } = await ask(t, offering);
  const stranger = createSocket("udp4");
  stranger.send(Buffer.of(1, 2, 3), way.endpoint.port, way.endpoint.ip);
  await sleep(50);
  engine.send(Buffer.of(1), way.endpoint.port, way.endpoint.ip);
  await until("the engine's", () => offering.heardFrom.length > 0);
  assert.deepEqual(
    offering.heardFrom.map(({ bytes }) => [...bytes]),
    [[1]],
  );
  stranger.close();
});

test("a stream of 20 MB crosses whole, though its reader is slow; the end of one end is the end of the other", async (t) => {
  const offering = await Offering.open(t);
  const { way } = await ask(t, offering);
  const socket = connect(way.stream.port, way.stream.ip);
  const total = 20_000_000;
  let received = 0;
  let isWhole = true;
  socket.on("data", (chunk: Buffer) => {
    for (let i = 0; i < chunk.length; i += 997) isWhole &&= chunk[i] === ((received + i) >> 8) % 251;
    received += chunk.length;
    if (received % 7 === 0) {
      socket.pause();
      setTimeout(() => socket.resume(), 10);
    }
  });
  const bytes = Buffer.from(Uint8Array.from({ length: total }, (_, i) => (i >> 8) % 251));
  socket.write(bytes);
  await until("all of it", () => received === total);
  assert.ok(isWhole);
  assert.ok(offering.streams[0]?.remoteAddress?.startsWith("127.") && !offering.streams[0].remoteAddress.startsWith("127.0."));
  offering.streams[0]?.end();
  await once(socket, "close");
});

test("a stream whose reader has stopped does not fill memory", async (t) => {
  const offering = await Offering.open(t);
  const { way } = await ask(t, offering);
  const socket = connect(way.stream.port, way.stream.ip);
  socket.on("error", () => {});
  // The echo comes back and is not read: everything in between must stop.
  socket.pause();
  const chunk = Buffer.alloc(1_000_000);
  let written = 0;
  const push = (): void => {
    while (written < 400_000_000) {
      written += chunk.length;
      if (!socket.write(chunk)) break;
    }
  };
  socket.on("drain", push);
  push();
  let before = -1;
  await until("writing stops", () => {
    const isStill = before === written && written > 1_000_000;
    before = written;
    return isStill;
  });
  await sleep(300);
  assert.ok(written < 100_000_000, `${written} bytes were taken`);
  socket.destroy();
});

test("anything else is a web server without pages", async (t) => {
  const offering = await Offering.open(t);
  for (const path of ["/", DATAGRAMS_PATH, "/mesh/"]) {
    const [response] = await once(
      get({ host: "127.0.0.1", port: offering.server.port, path, rejectUnauthorized: false, agent: false }),
      "response",
    );
    assert.equal(response.statusCode, 404, path);
    response.resume();
  }
  const socket = offering.webSocket("/other");
  const [, response] = await once(socket, "unexpected-response");
  assert.equal(response.statusCode, 404);
  response.destroy();
});

test("text, and messages that are too long, end the connection", async (t) => {
  const offering = await Offering.open(t);
  for (const path of [DATAGRAMS_PATH, STREAM_PATH]) {
    for (const [message, code] of [
      ["text", 1_003],
      [new Uint8Array(70_000), 1_009],
    ] as const) {
      const socket = offering.webSocket(path);
      await once(socket, "open");
      socket.send(message);
      const [closed] = await once(socket, "close");
      assert.ok(closed === code || closed === 1_006, `${path}: ${closed}`);
    }
  }
  assert.equal(offering.heardFrom.length, 0);
});

test("a stranger to whom the engine says nothing has a few datagrams, and no more", async (t) => {
  const offering = await Offering.open(t);
  const socket = offering.webSocket(DATAGRAMS_PATH);
  await once(socket, "open");
  for (let i = 0; i < 1_000; i++) socket.send(Buffer.of(0, 1, 2));
  await once(socket, "close");
  assert.ok(offering.heardFrom.length <= 256, `${offering.heardFrom.length}`);
  assert.ok((offering.counts.view()["unanswered"] ?? 0) > 0);
});

test("a cookie is no proof: a stranger that the engine gives one to has no more datagrams for that", async (t) => {
  const offering = await Offering.open(t);
  const socket = offering.webSocket(DATAGRAMS_PATH);
  await once(socket, "open");
  socket.send(Buffer.of(3, 0, 0));
  const [cookie] = (await once(socket, "message")) as [Buffer];
  assert.equal(cookie[0], 3);
  for (let i = 0; i < 1_000; i++) socket.send(Buffer.of(0, 1, 2));
  await once(socket, "close");
  assert.ok(offering.heardFrom.length <= 256, `${offering.heardFrom.length}`);
});

test("the member hangs up: told once, with the listener gone", async (t) => {
  const offering = await Offering.open(t);
  const { way, closed } = await ask(t, offering);
  await offering.server.close();
  await until("it is told", () => closed.length > 0);
  await sleep(20);
  assert.equal(closed.length, 1);
  const socket = connect(way.stream.port, way.stream.ip);
  const [error] = await once(socket, "error");
  assert.equal(error.code, "ECONNREFUSED");
});

test("a way that is not wanted any more closes without a word", async (t) => {
  const offering = await Offering.open(t);
  const { way, closed } = await ask(t, offering);
  way.close();
  await until("its place is free", () => offering.server.connections === 0);
  assert.deepEqual(closed, []);
});

test("a port that another process has is told as such", async (t) => {
  const offering = await Offering.open(t);
  const again = openTcpWayServer({
    port: offering.server.port,
    enginePort: 1,
    controlAt: () => undefined,
    clock: systemClock(),
    log,
    counts: new Counts(),
  });
  await assert.rejects(again, { code: "control/port-taken", message: `TCP port ${offering.server.port} is taken by another process.` });
});

test("by IPv6 as well", {
  skip: networkInterfaces()["lo"]?.some(({ address }) => address === "::1") === true ? false : "no IPv6",
}, async (t) => {
  const offering = await Offering.open(t);
  const { engine, way } = await ask(t, offering, "::1" as Ip);
  engine.send(Buffer.of(1), way.endpoint.port, way.endpoint.ip);
  await once(engine, "message");
  assert.deepEqual(way.remote, { ip: "::1", port: offering.server.port });
});
