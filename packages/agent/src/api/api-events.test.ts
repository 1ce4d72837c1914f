import assert from "node:assert/strict";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import {
  type EventView,
  errorShape,
  eventShape,
  MAX_LISTENER_BACKLOG_BYTES,
  MAX_LISTENERS,
  type PeerView,
  type StatusView,
} from "@mesh/core/api";
import { ApiBench, status } from "./api-server-fixture.ts";

let bench: ApiBench;
let shown: StatusView;
let reads = 0;

beforeEach(() => {
  bench = new ApiBench();
  [shown, reads] = [status, 0];
});

afterEach(async () => await bench.close());

const read = async (): Promise<StatusView> => {
  reads++;
  return shown;
};

function peer(number: number, more: Partial<PeerView> = {}): PeerView {
  const subnets = { subnet4: "10.77.2.0/24", subnet6: "fd4e::/64" };
  const addresses = { address4: `10.77.${number}.1`, address6: `fd4e::${number}`, ...subnets };
  const traffic = { receivedBytes: 0, sentBytes: 0, linked: true };
  return {
    name: `n${number}`,
    id: `id${number}`,
    number,
    role: "member",
    state: "alive",
    path: "direct",
    ...addresses,
    ...traffic,
    ...more,
  };
}

/** A client of the stream; it reads as it is told to. */
class Follower {
  readonly events: EventView[] = [];
  isClosed = false;
  type: string | undefined;
  readonly #request: ClientRequest = httpRequest({ socketPath: bench.socket, path: "/v1/events", agent: false });
  #response: IncomingMessage | undefined;
  #onChange: () => void = () => {};
  #rest = "";

  constructor() {
    this.#request.on("error", () => {});
    this.#request.on("close", () => {
      this.isClosed = true;
      this.#onChange();
    });
    this.#request.on("response", (response) => {
      this.#response = response;
      this.type = response.headers["content-type"];
      response.on("error", () => {});
      response.on("data", (chunk: Buffer) => this.#take(chunk.toString()));
    });
    this.#request.end();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.events.push(eventShape(JSON.parse(line), "") ?? assert.fail(line));
    this.#onChange();
  }

  pause(): void {
    this.#response?.pause();
  }

  resume(): void {
    this.#response?.resume();
  }

  leave(): void {
    this.#request.destroy();
  }

  async until(count: number): Promise<readonly EventView[]> {
    await this.#changed(() => this.events.length >= count || this.isClosed);
    return this.events;
  }

  async closed(): Promise<void> {
    await this.#changed(() => this.isClosed);
  }

  async #changed(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      await new Promise<void>((resolve) => {
        this.#onChange = resolve;
      });
    }
  }
}

/** Lets what is already on its way arrive. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("the first line is the status, then one line per change, at most four looks a second, and none when nobody listens", async () => {
  await bench.open({ status: read });
  const follower = new Follower();
  await follower.until(1);
  assert.equal(follower.type, "application/x-ndjson; charset=utf-8");
  assert.deepEqual(follower.events, [{ version: 1, at: 0, type: "status", status }]);

  shown = { ...status, peers: [peer(2)], counters: { x: 1 } };
  bench.clock.advance(249);
  await settle();
  assert.equal(reads, 1);
  bench.clock.advance(1);
  await follower.until(2);
  shown = { ...shown, peers: [peer(2, { state: "suspect", linked: false, receivedBytes: 5 })] };
  await settle();
  bench.clock.advance(250);
  const events = await follower.until(4);
  assert.deepEqual(
    events.slice(1).map(({ type }) => type),
    ["peer-added", "peer-state", "peer-link"],
  );
  assert.deepEqual(events[2], { version: 1, at: 500, type: "peer-state", name: "n2", id: "id2", from: "alive", to: "suspect" });

  follower.leave();
  await settle();
  const before = reads;
  bench.clock.advance(1_000);
  await settle();
  assert.equal(reads, before);
  assert.deepEqual(bench.logged, []);
});

test("one who comes later begins with the status of then, and the others hear what changed before", async () => {
  await bench.open({ status: read });
  const first = new Follower();
  await first.until(1);
  shown = { ...status, peers: [peer(2)] };
  const second = new Follower();
  const [begin] = await second.until(1);
  assert.ok(begin?.type === "status" && begin.status.peers.length === 1);
  assert.equal((await first.until(2))[1]?.type, "peer-added");
  await settle();
  assert.equal(second.events.length, 1);
  for (const follower of [first, second]) follower.leave();
});

test("what the contract does not know is not told", async () => {
  await bench.open({ status: async () => ({ ...status, secret: "seed" }) as StatusView });
  const text = await bench.talk("GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n", (connection) => {
    connection.once("data", () => setImmediate(() => connection.destroy()));
  });
  assert.match(text, /"type":"status"/);
  assert.ok(!text.includes("seed"));
});

test("one listener more than there may be is refused, and let in when another is gone", async () => {
  await bench.open({ status: read });
  const followers = Array.from({ length: MAX_LISTENERS }, () => new Follower());
  for (const follower of followers) await follower.until(1);
  const ask = { method: "GET", path: "/v1/events", type: "" };
  const refused = await bench.ask(ask);
  assert.equal(refused.status, 503);
  assert.equal(errorShape(refused.body, "").error.code, "agent/failed");
  followers[0]?.leave();
  await settle();
  const late = new Follower();
  await late.until(1);
  for (const follower of [...followers, late]) follower.leave();
});

test("a listener that never reads is dropped with a line in the log, and the others go on", async () => {
  const many = Array.from({ length: 500 }, (_, i) => peer(i + 2));
  shown = { ...status, peers: many };
  await bench.open({ status: read });
  const deaf = new Follower();
  const good = new Follower();
  await deaf.until(1);
  await good.until(1);
  deaf.pause();
  let rounds = 0;
  for (; bench.logged.length === 0; rounds++) {
    assert.ok(rounds < 200, "it was never dropped");
    shown = { ...status, peers: many.map((old) => ({ ...old, state: rounds % 2 === 0 ? ("suspect" as const) : ("alive" as const) })) };
    const count = good.events.length;
    bench.clock.advance(250);
    await good.until(count + 500);
    await settle();
  }
  assert.match(String(bench.logged[0]?.[1]), /does not read its events/);
  const { bytes } = (bench.logged[0] ?? [])[0] as { readonly bytes: number };
  const oneRound = 500 * 120;
  assert.ok(bytes > MAX_LISTENER_BACKLOG_BYTES && bytes < MAX_LISTENER_BACKLOG_BYTES + oneRound, String(bytes));
  assert.equal(bench.logged.length, 1);
  deaf.resume();
  await deaf.closed();
  assert.ok(!good.isClosed);
  good.leave();
});

test("one that does not even take the first line is dropped after the write timeout", async () => {
  const counters = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`counter.number${i}`, i]));
  shown = { ...status, counters };
  await bench.open({ status: read }, { writeTimeout: 700 });
  const deaf = connect(bench.socket);
  deaf.pause();
  deaf.write("GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n");
  while (reads === 0) await settle();
  await settle();
  bench.clock.advance(699);
  await settle();
  assert.deepEqual(bench.logged, []);
  bench.clock.advance(1);
  await settle();
  assert.equal(bench.logged.length, 1);
  deaf.destroy();
});

test("an agent that is still starting says so, and one whose status fails later ends the stream", async () => {
  let isBroken = true;
  await bench.open({
    status: async () => {
      if (isBroken) throw new Error("no engine");
      return shown;
    },
  });
  assert.equal((await bench.ask({ method: "GET", path: "/v1/events", type: "" })).status, 500);
  bench.logged.length = 0;
  isBroken = false;
  const follower = new Follower();
  await follower.until(1);
  isBroken = true;
  bench.clock.advance(250);
  await follower.closed();
  assert.match(String(bench.logged[0]?.[1]), /the events end/);
});

test("the stream ends with the agent", async () => {
  const server = await bench.open({ status: read });
  const follower = new Follower();
  await follower.until(1);
  const closing = server.close();
  await follower.closed();
  await closing;
  assert.ok(bench.clock.timerCount === 0);
});
