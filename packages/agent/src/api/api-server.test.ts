import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { errorShape, MAX_REQUEST_BYTES, type StatusView } from "@mesh/core/api";
import { MeshError } from "@mesh/core/errors";
import { seconds } from "@mesh/core/ports";
import { ApiBench, type Sent, status } from "./api-server-fixture.ts";

let bench: ApiBench;

beforeEach(() => {
  bench = new ApiBench();
});

afterEach(async () => await bench.close());

test("calls reach their handlers, and answers hold nothing that the contract does not know", async () => {
  const asked: unknown[] = [];
  await bench.open({
    status: async () => ({ ...status, secret: "seed" }) as StatusView,
    invite: async (request) => {
      asked.push(request);
      return { invite: "mesh1", expiresAt: 1, uses: 2, reachableAt: [] };
    },
    down: async () => ({}),
  });
  assert.deepEqual(await bench.ask({ method: "GET", path: "/v1/status", type: "" }), { status: 200, body: status, allow: undefined });
  const invite = await bench.ask({ path: "/v1/invite", body: '{"uses":2}' });
  assert.deepEqual([invite.status, invite.body, asked], [200, { invite: "mesh1", expiresAt: 1, uses: 2, reachableAt: [] }, [{ uses: 2 }]]);
  assert.deepEqual((await bench.ask({ path: "/v1/down", body: "{}", type: "application/json; charset=utf-8" })).body, {});
});

const wrong: readonly (Sent & { readonly why: string; readonly status: number })[] = [
  { why: "an unknown path", path: "/v1/nothing", body: "{}", status: 404 },
  { why: "a path with a query", method: "GET", path: "/v1/status?x=1", status: 404 },
  { why: "a path like an object's own key", path: "/constructor", body: "{}", status: 404 },
  { why: "a wrong method", path: "/v1/status", body: "{}", status: 405 },
  { why: "a method nobody knows here", method: "DELETE", path: "/v1/invite", status: 405 },
  { why: "a GET of what is posted", method: "GET", path: "/v1/invite", status: 405 },
  { why: "a GET with a body", method: "GET", path: "/v1/status", body: "{}", status: 400 },
  { why: "no content type", path: "/v1/down", type: "", body: "{}", status: 415 },
  { why: "a form", path: "/v1/down", type: "application/x-www-form-urlencoded", body: "{}", status: 415 },
  { why: "a type that only begins like JSON", path: "/v1/down", type: "application/jsonp", body: "{}", status: 415 },
  { why: "no body", path: "/v1/down", status: 400 },
  { why: "half a JSON", path: "/v1/down", body: "{", status: 400 },
  { why: "two JSONs", path: "/v1/down", body: "{}{}", status: 400 },
  {
    why: "bytes that are not UTF-8",
    path: "/v1/ping",
    body: Uint8Array.of(...Buffer.from('{"target":"'), 0xff, ...Buffer.from('"}')),
    status: 400,
  },
  { why: "null", path: "/v1/down", body: "null", status: 400 },
  { why: "a list", path: "/v1/down", body: "[]", status: 400 },
  { why: "a text", path: "/v1/ping", body: '"a"', status: 400 },
  { why: "a key that is not known", path: "/v1/down", body: '{"force":true}', status: 400 },
  { why: "a prototype", path: "/v1/ping", body: '{"__proto__":{"target":"a"}}', status: 400 },
  { why: "a missing key", path: "/v1/ping", body: "{}", status: 400 },
  { why: "a key of the wrong kind", path: "/v1/ping", body: '{"target":1}', status: 400 },
  { why: "no uses", path: "/v1/invite", body: '{"uses":0}', status: 400 },
  { why: "too many uses", path: "/v1/invite", body: '{"uses":1001}', status: 400 },
  { why: "half a use", path: "/v1/invite", body: '{"uses":1.5}', status: 400 },
  { why: "uses as text", path: "/v1/invite", body: '{"uses":"2"}', status: 400 },
  { why: "a time that never ends", path: "/v1/invite", body: '{"ttlSeconds":1e999}', status: 400 },
  { why: "null for what may be left out", path: "/v1/invite", body: '{"uses":null}', status: 400 },
  { why: "one byte too much", path: "/v1/ping", body: `{"target":"${"a".repeat(MAX_REQUEST_BYTES - 12)}"}`, status: 413 },
];

for (const { why, status, ...sent } of wrong) {
  test(`refuses ${why} with ${status}`, async () => {
    await bench.open();
    const got = await bench.ask(sent);
    assert.equal(got.status, status);
    assert.equal(errorShape(got.body, "").error.code, "usage/invalid");
    assert.equal(got.allow, status === 405 ? (sent.path === "/v1/status" ? "GET" : "POST") : undefined);
    assert.deepEqual(bench.logged, []);
  });
}

test("a body of the largest size is read", async () => {
  const target = "a".repeat(MAX_REQUEST_BYTES - 13);
  await bench.open({
    ping: async (request) => ({ node: String(request.target.length), address: "", answered: true, path: "", session: true }),
  });
  const { body } = await bench.ask({ path: "/v1/ping", body: `{"target":"${target}"}` });
  assert.deepEqual(body, { node: String(target.length), address: "", answered: true, path: "", session: true });
});

test("an error of ours keeps code, hint and facts; its status says whose it is", async () => {
  await bench.open({
    ping: async () => {
      throw new MeshError("peer/unknown", "There is no node x.", { wanted: "x" }, { hint: "See mesh peers." });
    },
    why: async () => {
      throw new MeshError("peer/ambiguous", "x could be any of a, b.", { wanted: "x", names: ["a", "b"] });
    },
    invite: async () => {
      throw new MeshError("invite/not-admin", "This node is not an admin.", {});
    },
    down: async () => {
      throw new MeshError("agent/failed", "It failed.", { reason: "r" });
    },
  });
  const error = { code: "peer/unknown", message: "There is no node x.", hint: "See mesh peers.", details: { wanted: "x" } };
  assert.deepEqual(await bench.ask({ path: "/v1/ping", body: '{"target":"x"}' }), { status: 404, body: { error }, allow: undefined });
  assert.equal((await bench.ask({ path: "/v1/invite", body: "{}" })).status, 403);
  assert.equal((await bench.ask({ path: "/v1/why", body: '{"target":"x"}' })).status, 409);
  assert.equal((await bench.ask({ path: "/v1/down", body: "{}" })).status, 500);
  assert.deepEqual(bench.logged, []);
});

test("any other error is bench.logged and says nothing to the client", async () => {
  await bench.open({
    ping: async () => {
      throw new Error("secret /path");
    },
    status: async () => ({ ...status, version: "1" }) as unknown as StatusView,
    routes: async () => ({ version: 1, routes: 1n }) as never,
  });
  for (const sent of [
    { path: "/v1/ping", body: '{"target":"x"}' },
    { method: "GET", path: "/v1/status" },
    { method: "GET", path: "/v1/routes" },
  ]) {
    const { status, body } = await bench.ask(sent);
    assert.equal(status, 500);
    assert.deepEqual(body, {
      error: {
        code: "agent/failed",
        message: "The agent failed to answer; its log says why.",
        details: { reason: "an error inside the agent" },
      },
    });
  }
  assert.equal(bench.logged.length, 3);
});

test("what is not HTTP is refused, and an over-long head", async () => {
  await bench.open();
  assert.match(await bench.talk("hello\r\n\r\n"), /^HTTP\/1\.1 400 .*"usage\/invalid"/s);
  assert.match(await bench.talk(Uint8Array.from({ length: 64 }, (_, i) => (i * 37) & 255)), /^HTTP\/1\.1 400 /);
  assert.match(await bench.talk(`GET /v1/status HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(9_000)}\r\n\r\n`), /^HTTP\/1\.1 400 /);
});

for (const [what, start] of [
  ["nothing", ""],
  ["half a head", "POST /v1/down HTTP/1.1\r\nhost:"],
  ["half a body", "POST /v1/down HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"],
] as const) {
  test(`a client that sends ${what} and no more is dropped`, async () => {
    await bench.open({}, { requestTimeout: 50 });
    const got = await bench.talk(start);
    assert.ok(got === "" || got.startsWith("HTTP/1.1 408 "), got);
    assert.deepEqual(bench.logged, []);
  });
}

test("a client that never reads its answer is dropped, and its place is free again", async () => {
  const counters = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`counter.number${i}`, i]));
  const answering = Promise.withResolvers<void>();
  const slow = async (): Promise<StatusView> => {
    answering.resolve();
    return { ...status, counters };
  };
  await bench.open({ status: slow }, { writeTimeout: 50, maxConnections: 1 });
  const deaf = connect(bench.socket);
  deaf.pause();
  deaf.write("GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n");
  await answering.promise;
  // Refused as long as the place is taken; a server that never drops its client keeps this going until the test's time is over.
  while ((await bench.talk("GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n")) === "");
  deaf.destroy();
});

test("clients above the limit are closed at once, the others served", async () => {
  await bench.open({ status: async () => status }, { maxConnections: 3 });
  const silent = Array.from({ length: 3 }, () => connect(bench.socket));
  await Promise.all(silent.map((connection) => new Promise((resolve) => connection.once("connect", resolve))));
  assert.equal(await bench.talk("GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n"), "");
  for (const connection of silent) connection.end("GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n");
  await Promise.all(silent.map((connection) => new Promise((resolve) => connection.once("data", resolve))));
  for (const connection of silent) connection.destroy();
});

test("a client that leaves in the middle harms nobody", async () => {
  await bench.open({ status: async () => status });
  await bench.talk("POST /v1/down HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\ncontent-type: application/json\r\n\r\n{", (connection) =>
    connection.end(),
  );
  await bench.talk("GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n", (connection) => connection.destroy());
  assert.equal((await bench.ask({ method: "GET", path: "/v1/status" })).status, 200);
  assert.deepEqual(bench.logged, []);
});

test("a second agent is refused and the first goes on", async () => {
  await bench.open({ status: async () => status });
  await assert.rejects(bench.open(), { code: "agent/already-running" });
  assert.equal((await bench.ask({ method: "GET", path: "/v1/status" })).status, 200);
});

test("close takes the socket away, lets started answers finish, and is done once", async () => {
  const called = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const server = await bench.open({
    down: async () => {
      called.resolve();
      await finish.promise;
      return {};
    },
  });
  const answer = bench.ask({ path: "/v1/down", body: "{}" });
  await called.promise;
  const closing = server.close();
  assert.equal(server.close(), closing);
  finish.resolve();
  assert.equal((await answer).status, 200);
  await closing;
  assert.ok(!existsSync(bench.socket));
});

test("close drops what does not finish in its time", async () => {
  const called = Promise.withResolvers<void>();
  const server = await bench.open({
    down: async () => {
      called.resolve();
      return await new Promise(() => {});
    },
  });
  const answer = assert.rejects(bench.ask({ path: "/v1/down", body: "{}" }));
  await called.promise;
  const closing = server.close();
  while (existsSync(bench.socket)) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  bench.clock.advance(seconds(2));
  await closing;
  await answer;
});
