import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Endpoint, type Ip, type NodeId, nodeId } from "@mesh/core/ports";
import {
  BESIDE_AFTER,
  ENDPOINTS_SETTLE,
  LASTING_AFTER,
  Links,
  MAX_DIALLED_ENDPOINTS,
  type MemberConnection,
  PING_GRACE,
  PING_INTERVAL,
  PING_PATIENCE,
  PING_TIMEOUT,
  USABLE_TIMEOUT,
} from "./links.ts";
import { SettlingClock } from "./settling-clock-fixture.ts";

const SELF: NodeId = nodeId(new Uint8Array(32).fill(8));
const PEER: NodeId = nodeId(new Uint8Array(32).fill(9));
const SMALLER_PEER: NodeId = nodeId(new Uint8Array(32).fill(7));
const OTHER_PEER: NodeId = nodeId(new Uint8Array(32).fill(6));
/** A dial there neither succeeds nor fails. */
const HANGING_PORT = 99;

function never(): Promise<never> {
  return new Promise(() => {});
}

function endpoint(port: number): Endpoint {
  return { ip: "192.0.2.1" as Ip, port };
}

interface Scene {
  readonly links: Links;
  readonly clock: SettlingClock;
  /** What happened, with the time. */
  readonly done: string[];
  /** Ports that answer a dial. */
  readonly answering: Set<number>;
  readonly denied: Set<NodeId>;
  /** What a ping of this connection comes to, and it is noted; without an entry: it is answered. */
  readonly pings: Map<MemberConnection, () => Promise<void>>;
  open(node: NodeId, dialled: boolean): MemberConnection;
}

function scene(): Scene {
  const clock = new SettlingClock();
  const done: string[] = [];
  const answering = new Set<number>();
  const denied = new Set<NodeId>();
  const pings: Scene["pings"] = new Map();
  let count = 0;
  const open = (node: NodeId, dialled: boolean, port = 0): MemberConnection => {
    const name = `${dialled ? "out" : "in"}${++count}`;
    const connection: MemberConnection = {
      node,
      remote: endpoint(port),
      dialled,
      openedAt: clock.now(),
      ping: () => {
        const ping = pings.get(connection);
        if (ping === undefined) return Promise.resolve();
        done.push(`${clock.now()} ${name} pinged`);
        return ping();
      },
      abort: (reason) => {
        done.push(`${clock.now()} ${name} aborted: ${reason}`);
        links.closed(connection);
      },
    };
    links.opened(connection);
    return connection;
  };
  const links: Links = new Links({
    self: SELF,
    clock,
    dial: async (node, { port }) => {
      done.push(`${clock.now()} dial ${port}`);
      if (port === HANGING_PORT) return new Promise<never>(() => {});
      if (!answering.has(port)) throw new Error(`no answer from ${port}`);
      return open(node, true, port);
    },
    mayDial: (node) => !denied.has(node),
    onUp: ({ remote, dialled }) => done.push(`${clock.now()} up ${dialled ? `dialled ${remote.port}` : "accepted"}`),
    onDown: () => done.push(`${clock.now()} down`),
    onReduced: () => done.push(`${clock.now()} reduced`),
    onDialFailed: () => {},
  });
  return { links, clock, done, answering, denied, pings, open };
}

describe("links", () => {
  it("dials at once, then backs off to 10 s, for ever", async () => {
    const { links, clock, done } = scene();
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(60_000);
    assert.deepEqual(
      done.map((line) => Number.parseInt(line, 10)),
      [0, 1_000, 3_000, 7_000, 15_000, 25_000, 35_000, 45_000, 55_000],
    );
  });

  it("dials other endpoints at once, and the same ones not again", async () => {
    const { links, clock, done, answering } = scene();
    answering.add(2);
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(100);
    links.connect(PEER, [endpoint(1)]);
    links.connect(PEER, [endpoint(2)]);
    await clock.advance(100);
    assert.deepEqual(done, ["0 dial 1", "100 dial 2"]);
  });

  it("dials at its own pace while endpoints change faster than every 10 s, and then the last ones", async () => {
    const { links, clock, done } = scene();
    links.connect(PEER, [endpoint(1)]);
    for (let n = 2; n <= 200; n++) {
      links.connect(PEER, [endpoint(n + 100)]);
      await clock.advance(100);
    }
    assert.deepEqual(
      done.map((line) => Number.parseInt(line, 10)),
      [0, 0, 1_000, 3_000, 7_000, 15_000],
    );
    assert.equal(done.at(-1), "15000 dial 251");
    await clock.advance(ENDPOINTS_SETTLE - 100);
    links.connect(PEER, [endpoint(7)]);
    await clock.advance(0);
    assert.equal(done.at(-1), `${clock.now()} dial 7`);
  });

  it("reports the first usable connection and the loss of the last", async () => {
    const { links, clock, done, open } = scene();
    const first = open(PEER, false);
    assert.deepEqual(done, []);
    links.usable(first);
    assert.deepEqual([done, links.connectionTo(PEER)], [["0 up accepted"], first]);
    await clock.advance(10_000);
    const second = open(PEER, true);
    links.usable(second);
    await clock.advance(10_000);
    links.closed(second);
    links.closed(second);
    assert.deepEqual(done, ["0 up accepted", "10000 in1 aborted: duplicate connection", "10000 reduced", "20000 down"]);
  });

  it("says nothing of a connection that never was usable, and closes it", async () => {
    const { clock, done, open } = scene();
    open(PEER, false);
    await clock.advance(USABLE_TIMEOUT);
    assert.deepEqual(done, [`${USABLE_TIMEOUT} in1 aborted: not usable in time`]);
  });

  it("dials a good link again at once, and a short one after a while", async () => {
    const { links, clock, done, answering } = scene();
    answering.add(1);
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(1);
    const first = links.connectionTo(PEER);
    assert.ok(first !== undefined);
    links.usable(first);
    await clock.advance(LASTING_AFTER);
    links.closed(first);
    await clock.advance(1);
    const second = links.connectionTo(PEER);
    assert.ok(second !== undefined && second !== first);
    links.closed(second);
    await clock.advance(999);
    assert.equal(links.connectionTo(PEER), undefined);
    await clock.advance(2);
    assert.ok(links.connectionTo(PEER) !== undefined);
    assert.deepEqual(done, ["0 dial 1", "1 up dialled 1", "10001 down", "10001 dial 1", "11002 dial 1"]);
  });

  it("does not dial a node that has dialled us, until that link is lost", async () => {
    const { links, clock, done, open } = scene();
    const accepted = open(PEER, false);
    links.usable(accepted);
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(20_000);
    links.closed(accepted);
    await clock.advance(10);
    assert.deepEqual(done, ["0 up accepted", "20000 down", "20000 dial 1"]);
  });

  it("hangs up and dials no more after disconnect, and takes the other side's dial", async () => {
    const { links, clock, done, open, answering } = scene();
    answering.add(1);
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(1);
    links.disconnect(PEER);
    await clock.advance(60_000);
    assert.deepEqual(done, ["0 dial 1", "1 out1 aborted: disconnected"]);
    links.usable(open(PEER, false));
    assert.equal(done.at(-1), "60001 up accepted");
  });

  it("hangs up on one that is parting when its time is over, and not when it is wanted again", async () => {
    const { links, clock, done, open } = scene();
    for (const node of [PEER, OTHER_PEER]) links.usable(open(node, false));
    for (const node of [PEER, OTHER_PEER]) links.disconnect(node, 1_000);
    links.connect(OTHER_PEER, [endpoint(1)]);
    done.length = 0;
    await clock.advance(5_000);
    assert.deepEqual(done, ["1000 in1 aborted: disconnected", "1000 down"]);
    links.disconnect(OTHER_PEER, 1_000);
    links.close();
    assert.equal(clock.pending, 0);
  });

  it("does not dial a node it may not, and looks again later", async () => {
    const { links, clock, done, denied, answering } = scene();
    denied.add(PEER);
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(500);
    assert.deepEqual(done, []);
    denied.clear();
    answering.add(1);
    await clock.advance(500);
    assert.deepEqual(done, ["1000 dial 1"]);
  });

  it("tries a bounded number of endpoints", async () => {
    const { links, clock, done } = scene();
    links.connect(
      PEER,
      Array.from({ length: 50 }, (_, i) => endpoint(i + 1)),
    );
    await clock.advance(900);
    assert.equal(done.length, MAX_DIALLED_ENDPOINTS);
  });

  it("keeps the connection of the smaller node when both dialled, and leaves a fallback to the larger", async () => {
    const smaller = scene();
    smaller.open(PEER, false);
    smaller.open(PEER, true);
    await smaller.clock.advance(1);
    assert.deepEqual(smaller.done, ["0 in1 aborted: duplicate connection", "0 reduced"]);
    const larger = scene();
    larger.open(SMALLER_PEER, false);
    larger.open(SMALLER_PEER, true);
    await larger.clock.advance(3_000);
    assert.deepEqual(larger.done, ["3000 out2 aborted: duplicate connection", "3000 reduced"]);
  });

  it("closes what is silent after the network changed and dials it again, and keeps what answers or resets the ping", async () => {
    const { links, clock, done, answering, open, pings } = scene();
    answering.add(1);
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(5_000);
    answering.delete(1);
    const frozen = links.connectionTo(PEER);
    assert.ok(frozen !== undefined);
    const [alive, resetting] = [open(SMALLER_PEER, false), open(OTHER_PEER, false)];
    for (const connection of [frozen, alive, resetting]) links.usable(connection);
    pings.set(frozen, never);
    pings.set(alive, () => Promise.resolve());
    pings.set(resetting, () => Promise.reject(new Error("stream reset")));
    done.length = 0;
    links.networkChanged();
    await clock.advance(100);
    links.networkChanged();
    await clock.advance(1_400 + 1);
    assert.deepEqual(done, [
      "5000 out1 pinged",
      "5000 in2 pinged",
      "5000 in3 pinged",
      // The one under way is enough for the frozen one.
      "5100 in2 pinged",
      "5100 in3 pinged",
      "5350 dial 1",
      `${5_000 + PING_PATIENCE} out1 aborted: it does not answer`,
      "6500 down",
      "6500 dial 1",
    ]);
    assert.deepEqual([links.connectionTo(SMALLER_PEER), links.connectionTo(OTHER_PEER)], [alive, resetting]);
  });

  it("closes what has not answered a ping for 16 s, and dials it again at once", async () => {
    const { links, clock, done, answering, open, pings } = scene();
    answering.add(1);
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(1);
    const [frozen, resetting] = [links.connectionTo(PEER), open(OTHER_PEER, false)];
    assert.ok(frozen !== undefined);
    for (const connection of [frozen, resetting]) links.usable(connection);
    await clock.advance(2 * PING_INTERVAL);
    pings.set(frozen, never);
    pings.set(resetting, () => Promise.reject(new Error("the muxer is closed")));
    done.length = 0;
    await clock.advance(PING_INTERVAL + PING_TIMEOUT + PING_GRACE);
    assert.deepEqual(
      done.filter((line) => !line.includes("pinged")),
      ["46000 out1 aborted: it does not answer", "46000 down", "46000 dial 1"],
    );
    assert.equal(links.connectionTo(OTHER_PEER), resetting);
  });

  it("has a second connection when the first does not answer for 250 ms after the network changed, and closes the first then", async () => {
    const { links, clock, done, answering, pings } = scene();
    answering.add(1);
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(1);
    const first = links.connectionTo(PEER);
    assert.ok(first !== undefined);
    links.usable(first);
    pings.set(first, never);
    await clock.advance(8_999);
    done.length = 0;
    links.networkChanged();
    await clock.advance(1_000);
    assert.deepEqual(done, ["9000 out1 pinged", "9250 dial 1", "9250 out1 aborted: duplicate connection", "9250 reduced"]);
    assert.notEqual(links.connectionTo(PEER), first);
  });

  it("dials nothing beside a link that answers, that another attempt is under way to, or that it does not want itself", async () => {
    const { links, clock, done, answering, open, pings } = scene();
    answering.add(1);
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(1);
    const mine = links.connectionTo(PEER);
    assert.ok(mine !== undefined);
    pings.set(mine, () => Promise.resolve());
    const theirs = open(OTHER_PEER, false);
    pings.set(theirs, never);
    for (const connection of [mine, theirs]) links.usable(connection);
    done.length = 0;
    for (let i = 0; i < 5; i++) links.networkChanged();
    await clock.advance(BESIDE_AFTER);
    assert.deepEqual(
      done.filter((line) => line.includes("dial")),
      [],
    );
  });

  it("links a peer within 10 s of its return, after any absence", async () => {
    const { links, clock, done, answering } = scene();
    links.connect(PEER, [endpoint(1), endpoint(2)]);
    await clock.advance(6 * 3_600_000);
    const attempts = done.length / 2;
    assert.ok(attempts > 2_000 && attempts < 2_200, `${attempts} attempts in six hours`);
    answering.add(2);
    await clock.advance(10_500);
    assert.equal(links.connectionTo(PEER)?.remote.port, 2);
  });

  it("dials a peer that came back at another port as soon as that is known", async () => {
    const { links, clock, answering, done } = scene();
    links.connect(PEER, [endpoint(1)]);
    await clock.advance(3_600_000);
    answering.add(2);
    done.length = 0;
    links.connect(PEER, [endpoint(2)]);
    await clock.advance(0);
    assert.deepEqual(done, ["3600000 dial 2"]);
  });

  it("dials at once when a network comes to a host that had none", async () => {
    const { links, clock, answering, done } = scene();
    links.connect(PEER, [endpoint(1)]);
    links.connect(OTHER_PEER, []);
    await clock.advance(600_500);
    answering.add(1);
    done.length = 0;
    links.networkChanged();
    await clock.advance(0);
    assert.deepEqual(done, ["600500 dial 1"]);
  });

  it("dials what waits and what hangs at once after the network changed, and backs off afresh", async () => {
    const { links, clock, done } = scene();
    links.connect(PEER, [endpoint(1)]);
    links.connect(SMALLER_PEER, [endpoint(HANGING_PORT)]);
    await clock.advance(4_000);
    links.networkChanged();
    await clock.advance(3_500);
    assert.deepEqual(
      done.map((line) => line.replace(" dial ", ":")),
      ["0:1", "0:99", "1000:1", "3000:1", "4000:1", "4000:99", "5000:1", "7000:1"],
    );
  });

  it("does not dial itself", async () => {
    const { links, clock, done } = scene();
    links.connect(SELF, [endpoint(1)]);
    await clock.advance(10);
    assert.deepEqual(done, []);
  });

  it("leaves no timer behind and takes no connection after close", async () => {
    const { links, clock, done, open, pings } = scene();
    links.connect(PEER, [endpoint(1)]);
    for (const connection of [open(PEER, false), open(SMALLER_PEER, false)]) pings.set(connection, never);
    await clock.advance(500);
    links.networkChanged();
    links.close();
    await clock.advance(0);
    assert.equal(clock.pending, 0);
    open(PEER, false);
    links.connect(PEER, [endpoint(2)]);
    links.networkChanged();
    assert.deepEqual(done, ["0 dial 1", "500 in1 pinged", "500 in2 pinged", "500 in3 aborted: closed"]);
  });
});
