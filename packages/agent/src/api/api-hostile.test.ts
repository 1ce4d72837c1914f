/** Whatever a process of this host writes into the socket: an answer that says no, or none; nothing is carried out, and the agent goes on. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { api, errorShape, MAX_REQUEST_BYTES } from "@mesh/core/api";
import { ApiBench, status } from "./api-server-fixture.ts";

let bench: ApiBench;

beforeEach(() => {
  bench = new ApiBench();
});

afterEach(async () => await bench.close());

const calls = [
  ...Object.values(api).map(({ method, path }) => ({ method, path })),
  { method: "GET" as const, path: "/v1/events" },
  { method: "GET" as const, path: "/metrics" },
];

/** No handler is given: one that were called would fail the test by its answer, 500, and its line in the log. */
async function refused(sent: Parameters<ApiBench["ask"]>[0], expected: number): Promise<void> {
  const { status: code, body } = await bench.ask(sent);
  assert.equal(code, expected, `${sent.method} ${sent.path} ${String(sent.body).slice(0, 60)}`);
  assert.equal(errorShape(body, "").error.code, "usage/invalid");
}

test("every call with every method that is not its own", async () => {
  await bench.open();
  for (const { method, path } of calls) {
    for (const other of ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE"]) {
      if (other !== method) await refused({ method: other, path, ...(other === "GET" ? { type: "" } : {}) }, 405);
    }
  }
  assert.deepEqual(bench.logged, []);
});

const noPaths = [
  "/",
  "//v1/status",
  "/v1",
  "/v1/",
  "/v1/status/",
  "/V1/STATUS",
  "/v1/status%20",
  "/v1/%73tatus",
  "/v1/../v1/status",
  "/v1/status#x",
  "/v1/status?",
  "/v1/status;x",
  "/v2/status",
  "/metrics/",
  "/v1/events?from=1",
  "/__proto__",
  "/toString",
  "http://x/v1/status",
  "*",
  `/${"v".repeat(6_000)}`,
];

test("every path that is nearly one", async () => {
  await bench.open();
  for (const path of noPaths) {
    const text = await bench.talk(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
    assert.match(text, /^HTTP\/1\.1 404 .*"usage\/invalid"/s, path);
    assert.ok(text.length < 700, `${path} comes back`);
  }
  assert.deepEqual(bench.logged, []);
});

const noJson = [
  "",
  " ",
  "{",
  "}",
  "[",
  '{"a"',
  '{"a":}',
  "{'a':1}",
  "{a:1}",
  "nul",
  "NaN",
  "Infinity",
  "0x1",
  "1e",
  '"',
  "{}{}",
  "{},",
  "\u0000",
];
const noObjects = ["null", "true", "0", "1e999", '""', "[]", "[{}]", `${"[".repeat(20_000)}${"]".repeat(20_000)}`];
const noArguments = ['{"x":1}', '{"__proto__":{}}', '{"constructor":{}}', '{"":1}', `{"${"k".repeat(5_000)}":1}`];

test("every POST with bodies that are no JSON, no object, or not its arguments", async () => {
  await bench.open();
  for (const { method, path } of calls) {
    if (method === "POST") for (const body of [...noJson, ...noObjects, ...noArguments]) await refused({ path, body }, 400);
  }
  assert.deepEqual(bench.logged, []);
});

test("every argument with values of every other type", async () => {
  await bench.open();
  const values = [null, true, false, 0, -1, 1.5, 1e300, "", "x", "1", [], {}, [1], { length: 1 }];
  const rights: readonly (readonly [string, string, (value: unknown) => boolean])[] = [
    ["/v1/invite", "uses", (value) => value === 1],
    ["/v1/invite", "ttlSeconds", (value) => value === 1],
    ["/v1/ping", "target", (value) => typeof value === "string"],
    ["/v1/why", "target", (value) => typeof value === "string"],
    ["/v1/leave", "force", (value) => typeof value === "boolean"],
  ];
  for (const [path, key, isRight] of rights)
    for (const value of values) if (!isRight(value)) await refused({ path, body: JSON.stringify({ [key]: value }) }, 400);
  assert.deepEqual(bench.logged, []);
});

test("bodies without end: one that is said to be too long, and one in pieces that only grows", async () => {
  await bench.open();
  const head = "POST /v1/ping HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
  const endless = (connection: Socket): void => {
    const piece = `4000\r\n${"a".repeat(0x4000)}\r\n`;
    const more = (): void => void (connection.writable && connection.write(piece, more));
    more();
  };
  assert.match(await bench.talk(`${head}transfer-encoding: chunked\r\n\r\n`, endless), /^HTTP\/1\.1 413 /);
  const long = `${head}content-length: ${10 * MAX_REQUEST_BYTES}\r\n\r\n${"a".repeat(MAX_REQUEST_BYTES + 1)}`;
  assert.match(await bench.talk(long), /^HTTP\/1\.1 413 /);
  assert.deepEqual(bench.logged, []);
});

test("a body that comes byte by byte for ever is cut at the request timeout", async () => {
  await bench.open({}, { requestTimeout: 100 });
  const head = "POST /v1/down HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
  const drip = (connection: Socket): void => {
    const timer = setInterval(() => connection.write(" "), 5);
    connection.once("close", () => clearInterval(timer));
  };
  const text = await bench.talk(head, drip);
  assert.ok(text === "" || text.startsWith("HTTP/1.1 408 "), text);
  assert.deepEqual(bench.logged, []);
});

const noHttp: readonly (readonly [string, string])[] = [
  ["two lengths", "POST /v1/down HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"],
  [
    "a length and pieces",
    "POST /v1/down HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
  ],
  ["a negative length", "POST /v1/down HTTP/1.1\r\nhost: x\r\ncontent-length: -2\r\n\r\n{}"],
  ["a length that is none", "POST /v1/down HTTP/1.1\r\nhost: x\r\ncontent-length: 0x2\r\n\r\n{}"],
  ["a piece of no length", "POST /v1/down HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n"],
  ["no host", "GET /v1/status HTTP/1.1\r\n\r\n"],
  ["a space in a header's name", "GET /v1/status HTTP/1.1\r\nhost: x\r\na b: c\r\n\r\n"],
  ["a zero in a header", "GET /v1/status HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n"],
  ["another protocol", "GET /v1/status SPDY/3\r\nhost: x\r\n\r\n"],
  ["HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["TLS", "\u0016\u0003\u0001\u0002\u0000\u0001"],
  ["a method of ours", "MESH /v1/down HTTP/1.1\r\nhost: x\r\n\r\n"],
];

for (const [what, text] of noHttp) {
  test(`${what}: refused as HTTP`, async () => {
    await bench.open({}, { requestTimeout: 200 });
    assert.match(await bench.talk(text), /^HTTP\/1\.1 400 /);
    assert.deepEqual(bench.logged, []);
  });
}

test("what is asked for in ways that we do not go (upgrade, continue, tunnel) is refused, and nothing hangs", async () => {
  await bench.open({ status: async () => status }, { requestTimeout: 200 });
  const upgrade = "GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
  assert.match(await bench.talk(upgrade), /^HTTP\/1\.1 200 /);
  assert.equal(await bench.talk("CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n"), "");
  const expecting =
    "POST /v1/nothing HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n";
  assert.match(await bench.talk(expecting), /HTTP\/1\.1 404 /);
  assert.deepEqual(bench.logged, []);
});

test("of requests sent behind each other the first is answered and no other carried out", async () => {
  let downs = 0;
  const down = async (): Promise<Record<never, never>> => {
    downs++;
    return {};
  };
  await bench.open({ status: async () => status, down });
  const post = "POST /v1/down HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
  const text = await bench.talk(`GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n${post}${post}`);
  assert.match(text, /^HTTP\/1\.1 200 .*"version":1/s);
  assert.equal(downs, 0);
  // Nor behind the endless answer to a listener.
  const listening = await bench.talk(`GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n${post}`, (connection) => {
    connection.once("data", () => setImmediate(() => connection.destroy()));
  });
  assert.match(listening, /"type":"status"/);
  assert.equal(downs, 0);
});

test("a client that closes its half early, before, within and after its request, harms nobody", async () => {
  await bench.open({ status: async () => status });
  const get = "GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n";
  for (const text of ["", "GET", get.slice(0, -2), get, "GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n", "POST /v1/down HTTP/1.1\r\n"])
    await bench.talk(text, (connection) => connection.end());
  assert.equal((await bench.ask({ method: "GET", path: "/v1/status", type: "" })).status, 200);
  assert.deepEqual(bench.logged, []);
});

for (const seed of [1, 2, 3]) {
  test(`2,000 requests with random bytes in them, seed ${seed}: each ends, none is carried out`, async () => {
    await bench.open({ status: async () => status }, { requestTimeout: 300 });
    const good = 'POST /v1/leave HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{"force":"no"}';
    let state = seed;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    const attempt = async (): Promise<void> => {
      const bytes = Buffer.from(good);
      for (let n = random(4) + 1; n > 0; n--) bytes[random(bytes.length)] = random(256);
      const cut = random(3) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
      const text = await bench.talk(cut, (connection) => connection.end());
      assert.ok(text === "" || /^HTTP\/1\.1 4\d\d /.test(text), text);
    };
    for (let round = 0; round < 50; round++) await Promise.all(Array.from({ length: 40 }, attempt));
    assert.equal((await bench.ask({ method: "GET", path: "/v1/status", type: "" })).status, 200);
    assert.deepEqual(bench.logged, []);
  });
}
