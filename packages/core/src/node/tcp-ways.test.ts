import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import type { Millis } from "../time/millis.ts";
import {
  BLOCKED_AFTER,
  FIRST_RETEST_AFTER,
  LEFT_AFTER,
  MAX_TCP_WAYS,
  MIN_TARGETS,
  RETEST_INTERVAL,
  TCP_RETRY_INTERVALS,
  TcpWays,
  type TcpWaysStep,
} from "./tcp-ways.ts";

const T: Millis = 100_000;
const at = (port: number, ip = "198.51.100.1"): Endpoint => ({ ip: ip as Ip, port });
const way = (port: number): { endpoint: Endpoint; stream: Endpoint } => ({
  endpoint: at(port, "127.0.0.1"),
  stream: at(port + 1, "127.0.0.1"),
});

/** The choice on simulated time. Relays that offer TCP are `o1`, `o2`…, those without it `r1`…; `t1`… take TCP for themselves alone. */
class Choice {
  readonly rtts = new Map<string, Millis>();
  readonly ways: TcpWays;
  now: Millis = T;
  /** `open o1`, `close o1`, `ask o1,o2`, with milliseconds since T before it. */
  readonly told: string[] = [];

  constructor(...names: readonly string[]) {
    const rttOf = (node: string): Millis | undefined => [...this.rtts].find(([name]) => idOf(name) === node)?.[1];
    this.ways = new TcpWays(new SeededRandom(1), rttOf);
    this.#names = names;
    for (const name of names) this.publish(name);
  }
  readonly #names: readonly string[];

  publish(name: string): void {
    this.ways.published(idOf(name), {
      endpoints: /^[ot]/.test(name) ? [at(443)] : [],
      isRelay: name.startsWith("r") || name.startsWith("o"),
    });
  }

  ask(...names: readonly string[]): void {
    for (const name of names) this.ways.asked(idOf(name), this.now);
  }

  /** Timers fire until so long after T; the answers of `answering` come at once. */
  until(after: Millis, answering: readonly string[] = []): readonly string[] {
    const from = this.told.length;
    for (let dueAt = this.ways.wakeAt(); dueAt !== undefined && dueAt <= T + after; dueAt = this.ways.wakeAt()) {
      this.now = Math.max(this.now, dueAt);
      for (const step of this.ways.due(this.now)) {
        this.told.push(`${this.now - T} ${this.format(step)}`);
        if (step.type !== "ask") continue;
        for (const node of step.nodes) this.ways.asked(node, this.now);
        for (const name of answering) if (step.nodes.includes(idOf(name))) this.ways.answered(idOf(name), this.now);
      }
    }
    this.now = T + after;
    return this.told.slice(from);
  }

  format(step: TcpWaysStep): string {
    const nameOf = (node: string): string => this.#names.find((name) => idOf(name) === node) ?? "?";
    return step.type === "ask" ? `ask ${step.nodes.map(nameOf).join()}` : `${step.type} ${nameOf(step.node)}`;
  }

  /** UDP has worked here, and from T on nothing answers. */
  static blocked(...names: readonly string[]): Choice {
    const choice = new Choice(...names);
    choice.ask(...names);
    choice.ways.answered(idOf(names[0] ?? ""), T);
    choice.ask(...names);
    return choice;
  }
}

describe("when", () => {
  test("nobody answers where UDP has worked: 1 s after the first PING", () => {
    const choice = Choice.blocked("o1");
    assert.deepEqual(choice.until(BLOCKED_AFTER - 1), []);
    assert.equal(choice.ways.isBlocked, false);
    assert.deepEqual(choice.until(BLOCKED_AFTER), [`${BLOCKED_AFTER} open o1`]);
    assert.equal(choice.ways.isBlocked, true);
  });

  test("sooner where all that were asked are near, not before 400 ms, and never later", () => {
    for (const [rtts, blockedAt] of [
      [[20, 20, 30], 400],
      [[20, 20, 100], 800],
      [[20, 20, 500], BLOCKED_AFTER],
      [[20, 20], BLOCKED_AFTER],
    ] as const) {
      const names = ["o1", "o2", "r1"];
      const choice = Choice.blocked(...names);
      rtts.forEach((rtt, i) => void choice.rtts.set(names[i] ?? "", rtt));
      assert.deepEqual(choice.until(blockedAt - 1), []);
      assert.deepEqual(choice.until(blockedAt), [`${blockedAt} open o1`, `${blockedAt} open o2`]);
    }
  });

  test("nothing ever came by UDP on this network: the same", () => {
    const choice = new Choice("o1");
    choice.ask("o1");
    assert.deepEqual(choice.until(10_000), [`${BLOCKED_AFTER} open o1`]);
    const moved = Choice.blocked("o1");
    moved.ways.networkChanged(T);
    moved.ask("o1");
    assert.deepEqual(moved.until(BLOCKED_AFTER), [`${BLOCKED_AFTER} open o1`]);
  });

  test("not while nobody is asked, nor when one target answers", () => {
    const choice = new Choice("o1", "r1");
    assert.equal(choice.ways.wakeAt(), undefined);
    choice.ask("o1", "r1");
    choice.now += 500;
    choice.ways.answered(idOf("r1"), choice.now);
    assert.deepEqual(choice.until(60_000), []);
  });

  test("the others are asked first: one dead member does not speak for all", () => {
    const names = ["o1", "o2", "r1", "r2", "r3"];
    const choice = Choice.blocked(...names);
    choice.ways.answered(idOf("r3"), T);
    choice.ask("o1");
    const [asked = "", ...rest] = choice.until(60_000, ["o2"]);
    assert.equal(asked.split(",").length, MIN_TARGETS - 1, "three with the one that was asked");
    assert.deepEqual(rest, [], "and one of them answers");
    choice.ask("o1");
    choice.now = T + 60_000;
    assert.ok(
      choice.until(120_000).some((told) => told.endsWith("open o1")),
      "nobody does",
    );
  });

  test("what a member that neither relays nor takes TCP answers says nothing", () => {
    const choice = new Choice("o1", "n1");
    choice.ask("o1", "n1");
    choice.ways.answered(idOf("n1"), T);
    assert.deepEqual(choice.until(BLOCKED_AFTER), [`${BLOCKED_AFTER} open o1`]);
    const alone = new Choice("n1");
    alone.ask("n1");
    assert.equal(alone.ways.wakeAt(), undefined);
  });
});

describe("whom", () => {
  test("the nearest two", () => {
    const choice = Choice.blocked("o1", "o2", "o3", "r1");
    for (const [name, rtt] of [
      ["o1", 50],
      ["o2", 10],
      ["o3", 20],
    ] as const)
      choice.rtts.set(name, rtt);
    assert.deepEqual(choice.until(BLOCKED_AFTER), [`${BLOCKED_AFTER} open o2`, `${BLOCKED_AFTER} open o3`]);
    assert.equal(MAX_TCP_WAYS, 2);
  });

  test("those that lead to others, however far, before one that leads to itself alone", () => {
    const choice = Choice.blocked("t1", "o1", "o2");
    for (const [name, rtt] of [
      ["t1", 1],
      ["o1", 300],
      ["o2", 200],
    ] as const)
      choice.rtts.set(name, rtt);
    assert.deepEqual(choice.until(BLOCKED_AFTER), [`${BLOCKED_AFTER} open o2`, `${BLOCKED_AFTER} open o1`]);
  });

  test("when one cannot be had, the next", () => {
    const choice = Choice.blocked("o1", "o2", "o3");
    for (const name of ["o1", "o2", "o3"]) choice.rtts.set(name, Number(name.slice(1)));
    choice.until(BLOCKED_AFTER);
    choice.ways.closed(idOf("o1"), choice.now);
    assert.deepEqual(choice.until(BLOCKED_AFTER), [`${BLOCKED_AFTER} open o3`]);
  });

  test("the only one, again after growing waits; from the start where this host's addresses changed", () => {
    const choice = Choice.blocked("o1");
    const waits: number[] = [];
    const fail = (): void => {
      const failedAt = choice.now;
      choice.ways.closed(idOf("o1"), failedAt);
      const [told = ""] = choice.until(failedAt - T + 61_000).filter((one) => one.includes("open"));
      choice.now = T + Number.parseInt(told, 10);
      waits.push(choice.now - failedAt);
    };
    choice.until(BLOCKED_AFTER);
    for (let i = 0; i <= TCP_RETRY_INTERVALS.length; i++) fail();
    assert.deepEqual(waits, [...TCP_RETRY_INTERVALS, TCP_RETRY_INTERVALS.at(-1)]);
    choice.ways.closed(idOf("o1"), choice.now);
    choice.ways.networkChanged(choice.now);
    assert.ok(
      choice.until(choice.now - T).some((told) => told.includes("open o1")),
      "at once",
    );
  });

  test("one that is lost after a good while is tried again at once, and then often for a while", () => {
    const choice = Choice.blocked("o1");
    choice.until(BLOCKED_AFTER);
    choice.ways.opened(idOf("o1"), way(1), choice.now);
    choice.until(30_000);
    choice.ways.closed(idOf("o1"), choice.now);
    assert.deepEqual(choice.until(30_000), ["30000 open o1"]);
    for (const dueAt of [31_000, 33_000, 38_000, 43_000, 53_000, 73_000]) {
      choice.ways.closed(idOf("o1"), choice.now);
      assert.deepEqual(
        choice.until(dueAt).filter((told) => told.includes("open")),
        [`${dueAt} open o1`],
      );
    }
  });

  test("what breaks because this host moved is no failure: the next attempt comes at once", () => {
    const choice = Choice.blocked("o1");
    choice.until(BLOCKED_AFTER);
    choice.ways.opened(idOf("o1"), way(5), choice.now);
    choice.now += 2_000;
    choice.ways.networkChanged(choice.now);
    choice.now += 1_500;
    choice.ways.closed(idOf("o1"), choice.now);
    assert.deepEqual(
      choice.ways.due(choice.now).map(({ type }) => type),
      ["ask", "open"],
    );
  });

  test("a member that said goodbye is the last, and is not forgotten", () => {
    const choice = Choice.blocked("o1", "o2", "o3");
    choice.ways.stopped(idOf("o1"));
    choice.until(BLOCKED_AFTER);
    assert.deepEqual(
      choice.told.filter((told) => told.includes("o1")),
      [],
    );
    choice.ways.closed(idOf("o2"), choice.now);
    assert.deepEqual(choice.until(BLOCKED_AFTER), [`${BLOCKED_AFTER} open o1`]);
  });

  test("without a control link it is tried where all have said goodbye, and not while one is left to be asked by UDP", () => {
    const choice = new Choice("o1", "r1");
    choice.ways.stopped(idOf("o1"));
    choice.ways.cutOff(choice.now);
    assert.deepEqual(choice.until(10_000), []);
    choice.ways.stopped(idOf("r1"));
    choice.ways.cutOff(choice.now);
    assert.deepEqual(choice.until(10_000), ["10000 open o1"]);
    choice.ways.opened(idOf("o1"), way(1), choice.now);
    choice.publish("o1");
    assert.equal(choice.until(70_000 + LEFT_AFTER, ["o1"]).at(-1), `${70_000 + LEFT_AFTER} close o1`, "UDP works");
  });

  test("one that is connected and answers nothing is left, and then asked for anew", () => {
    const choice = Choice.blocked("o1");
    assert.deepEqual(choice.ways.lost(idOf("o1"), T), [], "there is no connection");
    choice.until(BLOCKED_AFTER);
    assert.deepEqual(choice.ways.lost(idOf("o1"), choice.now), [], "it is not there yet");
    choice.ways.opened(idOf("o1"), way(1), choice.now);
    choice.until(30_000);
    assert.deepEqual(choice.ways.lost(idOf("o1"), choice.now), [{ type: "close", node: idOf("o1") }]);
    choice.ways.closed(idOf("o1"), choice.now);
    assert.deepEqual(choice.until(31_000), ["30500 open o1"]);
  });

  test("one that is no member any more is left", () => {
    const choice = Choice.blocked("o1");
    choice.until(BLOCKED_AFTER);
    assert.deepEqual(choice.ways.remove(idOf("o1")), [{ type: "close", node: idOf("o1") }]);
    assert.deepEqual(choice.ways.remove(idOf("o1")), []);
    assert.deepEqual(choice.until(10_000), []);
  });
});

describe("back", () => {
  const connected = (): Choice => {
    const choice = Choice.blocked("o1");
    choice.until(BLOCKED_AFTER);
    choice.ways.opened(idOf("o1"), way(7_000), choice.now);
    return choice;
  };

  test("an open way is known by its endpoints", () => {
    const choice = Choice.blocked("o1");
    choice.ways.opened(idOf("o1"), way(7_000), T);
    assert.equal(choice.ways.wayTo(idOf("o1")), undefined, "nobody asked for it");
    choice.until(BLOCKED_AFTER);
    choice.ways.opened(idOf("o1"), way(7_000), choice.now);
    assert.deepEqual(choice.ways.wayTo(idOf("o1"))?.stream, way(7_000).stream);
    assert.deepEqual([choice.ways.isWay(way(7_000).endpoint), choice.ways.isWay(at(7_000))], [true, false]);
    choice.ways.closed(idOf("o1"), choice.now);
    assert.equal(choice.ways.isWay(way(7_000).endpoint), false);
  });

  test("UDP is tried after 60 s, then each 10 min, three PINGs in a row", () => {
    const choice = connected();
    const first = BLOCKED_AFTER + FIRST_RETEST_AFTER;
    const again = first + RETEST_INTERVAL;
    assert.deepEqual(
      choice.until(again + 2_000),
      [first, first + 500, first + 1_500, again, again + 500, again + 1_500].map((ms) => `${ms} ask o1`),
    );
  });

  test("and at once when this host's addresses changed", () => {
    const choice = connected();
    choice.now = T + 20_000;
    choice.ways.networkChanged(choice.now);
    assert.deepEqual(
      choice.until(22_000),
      [20_000, 20_500, 21_500].map((ms) => `${ms} ask o1`),
    );
  });

  test("connections are left 30 s after it answers", () => {
    const choice = connected();
    const first = BLOCKED_AFTER + FIRST_RETEST_AFTER;
    choice.until(first + LEFT_AFTER - 1, ["o1"]);
    assert.equal(choice.ways.isBlocked, false);
    assert.deepEqual(choice.until(first + LEFT_AFTER + RETEST_INTERVAL, ["o1"]), [`${first + LEFT_AFTER} close o1`]);
    assert.equal(choice.ways.wakeAt(), undefined);
  });

  test("unless it falls silent before that", () => {
    const choice = connected();
    const first = BLOCKED_AFTER + FIRST_RETEST_AFTER;
    choice.until(first, ["o1"]);
    choice.now = T + first + 10_000;
    choice.ask("o1");
    assert.ok(choice.until(first + 60_000).every((told) => !told.includes("close")));
    assert.equal(choice.ways.isBlocked, true);
  });
});
