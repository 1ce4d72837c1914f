import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as settled } from "node:timers/promises";
import type { Endpoint, Ip, NodeId } from "@mesh/core/ports";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { askEitherWay, PLAIN_HEAD_START } from "./ask-either-way.ts";

const at = (port: number, ip = "198.51.100.1"): Endpoint => ({ ip: ip as Ip, port });
const member = { node: "a".repeat(64) as NodeId, endpoints: [at(6_000), at(443)] };
const LOCAL = at(9_999, "127.0.0.1");

class Asking {
  readonly clock: ManualClock = new ManualClock(0);
  readonly stop: AbortController = new AbortController();
  readonly opened: (readonly Endpoint[])[] = [];
  failure: string | undefined;
  closed = 0;
  readonly plain: PromiseWithResolvers<Uint8Array> = Promise.withResolvers();
  readonly tls: PromiseWithResolvers<Uint8Array> = Promise.withResolvers();
  readonly aborted: string[] = [];
  readonly answer: Promise<Uint8Array>;

  constructor() {
    this.answer = askEitherWay(member, {
      clock: this.clock,
      signal: this.stop.signal,
      ask: ({ endpoints }, signal) => {
        const way = endpoints[0] === LOCAL ? "tls" : "plain";
        signal.addEventListener("abort", () => this.aborted.push(way));
        return this[way].promise;
      },
      openStream: async (endpoints) => {
        this.opened.push(endpoints);
        return { endpoint: LOCAL, failure: this.failure, close: () => void this.closed++ };
      },
    });
    this.answer.catch(() => {});
  }
}

class JoinUnansweredError extends Error {
  override readonly name = "JoinUnansweredError";
}

test("who answers by plain TCP is not asked by TLS", async () => {
  const asking = new Asking();
  asking.plain.resolve(Uint8Array.of(1));
  assert.deepEqual(await asking.answer, Uint8Array.of(1));
  asking.clock.advance(PLAIN_HEAD_START);
  await settled();
  assert.deepEqual([asking.opened, asking.clock.timerCount], [[], 0]);
});

test("plain TCP fails: by TLS at once, at what the invite names last first", async () => {
  const asking = new Asking();
  asking.plain.reject(new Error("refused"));
  await settled();
  assert.deepEqual(asking.opened, [member.endpoints.toReversed()]);
  asking.tls.resolve(Uint8Array.of(2));
  assert.deepEqual(await asking.answer, Uint8Array.of(2));
  assert.equal(asking.closed, 1);
});

test("plain TCP takes long: both, and the first answer counts", async () => {
  const asking = new Asking();
  asking.clock.advance(PLAIN_HEAD_START - 1);
  await settled();
  assert.equal(asking.opened.length, 0);
  asking.clock.advance(1);
  await settled();
  assert.equal(asking.opened.length, 1);
  asking.tls.resolve(Uint8Array.of(2));
  assert.deepEqual(await asking.answer, Uint8Array.of(2));
  assert.ok(asking.aborted.includes("plain"), "the other one is given up");
});

test("neither works: both reasons, and why no connection was made", async () => {
  const asking = new Asking();
  asking.failure = "198.51.100.1:443: connect ECONNREFUSED";
  asking.plain.reject(new Error("Not reached."));
  await settled();
  asking.tls.reject(new Error("hung up"));
  await assert.rejects(asking.answer, { message: "Not reached. Nor by TLS: 198.51.100.1:443: connect ECONNREFUSED." });
});

test("a member that was told and did not answer is told of as such, whichever way", async () => {
  for (const way of ["plain", "tls"] as const) {
    const asking = new Asking();
    asking.plain.reject(way === "plain" ? new JoinUnansweredError("no answer") : new Error("refused"));
    await settled();
    asking.tls.reject(way === "tls" ? new JoinUnansweredError("no answer") : new Error("refused"));
    await assert.rejects(asking.answer, { name: "JoinUnansweredError" });
  }
});

test("the agent ends: so does the asking", async () => {
  const asking = new Asking();
  asking.stop.abort(new Error("stopping"));
  assert.deepEqual(asking.aborted, ["plain"]);
  asking.plain.reject(new Error("stopping"));
  await assert.rejects(asking.answer, /stopping/);
  assert.equal(asking.opened.length, 0);
});
