import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { after, describe, it } from "node:test";
import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { identify } from "@libp2p/identify";
import { tcp } from "@libp2p/tcp";
import { MeshError } from "@mesh/core/errors";
import { type Clock, seconds } from "@mesh/core/ports";
import { createLibp2p } from "libp2p";
import { pino } from "pino";
import { askToJoin } from "./ask-to-join.ts";
import {
  credentialsOf,
  eventually,
  hurriedClock,
  LOOPBACK,
  link,
  type Member,
  type MemberOptions,
  nodeOfSeed,
  openMember,
  passed,
  realClock,
  seedOf,
} from "./member-fixture.ts";
import { dialAddress } from "./multiaddr.ts";
import { REPORT_AFTER } from "./refusals.ts";
import { testRecord } from "./test-records-fixture.ts";

// At the same time: most of their time is spent waiting for dials that are made again.
describe("control plane", { concurrency: 4 }, () => {
  const open: Member[] = [];
  const member = async (name: string, options?: MemberOptions): Promise<Member> => {
    const opened = await openMember(name, options);
    open.push(opened);
    return opened;
  };
  after(() => Promise.all(open.map(({ control }) => control.close())));

  it("links two members and gossips both ways", async () => {
    const [a, b] = [await member("two-a"), await member("two-b")];
    await link(a, b);
    const [fromA, fromB] = [testRecord("from a"), testRecord("from b")];
    a.say(fromA);
    b.say(fromB);
    const [atB, atA] = [await b.events.record(fromA), await a.events.record(fromB)];
    assert.deepEqual([atB.from, atB.via, atA.from, atA.via], [a.node, "gossip", b.node, "gossip"]);
  });

  it("tells where the other side is", async () => {
    const [a, b] = [await member("who-a"), await member("who-b")];
    await link(a, b);
    const [atA, atB] = [await a.events.next("link-up"), await b.events.next("link-up")];
    assert.deepEqual([atA.remote, atB.remote.ip], [b.endpoint, LOOPBACK]);
  });

  it("reports the credentials a member showed before its link", async () => {
    const [a, b] = [await member("shown-a"), await member("shown-b")];
    await link(a, b);
    for (const [at, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const shown = at.events.all.findIndex(
        (event) => event.type === "records" && Buffer.compare(event.records[0] ?? Buffer.of(), credentialsOf(other.node)) === 0,
      );
      const up = at.events.all.findIndex(({ type }) => type === "link-up");
      assert.ok(shown >= 0 && shown < up, `credentials at ${shown}, link at ${up}`);
    }
  });

  it("passes gossip on through the middle of a line, and each record once", async () => {
    const [a, b, c] = [await member("line-a"), await member("line-b"), await member("line-c")];
    await Promise.all([link(a, b), link(c, b)]);
    // The syncs of new links would hand it over too.
    await Promise.all([a, b, c].map(({ control }) => control.settle(seconds(5))));
    const record = testRecord("through the middle");
    a.say(record);
    const atC = await c.events.record(record);
    assert.deepEqual([atC.from, atC.via], [b.node, "gossip"]);
    assert.equal(
      a.events.count("records", ({ records }) => records.some((one) => Buffer.compare(one, record) === 0)),
      0,
    );
  });

  it("gives a stranger with plain Noise nothing", async () => {
    const a = await member("plain-a");
    const stranger = await createLibp2p({
      addresses: { listen: [] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify() },
      connectionGater: { denyDialMultiaddr: () => false },
    });
    let identified = 0;
    stranger.addEventListener("peer:identify", () => identified++);
    await assert.rejects(async () => stranger.dial(dialAddress(a.node, a.endpoint)));
    await stranger.stop();
    assert.equal(identified, 0);
    assert.deepEqual(a.events.all, []);
    await eventually("counted", () => a.events.refusals("handshake-failed") === 1);
  });

  it("says nothing to a dialler of another network", async () => {
    const [a, b] = [await member("nets-a"), await member("nets-b", { network: "b" })];
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.control.connect(to.node, [to.endpoint]);
      await eventually("refused", () => to.refused.includes(from.node));
      from.control.disconnect(to.node);
    }
    // Had one of them shown its own credentials, the other would have refused them too.
    assert.deepEqual([a.refused, b.refused], [[b.node], [a.node]]);
    await eventually("counted", () => [a, b].every(({ events }) => events.refusals("not-a-member") === 1));
    assert.deepEqual([a.events.all, b.events.all], [[], []]);
  });

  it("refuses a responder that shows other credentials", async () => {
    const [a, b] = [await member("liar-a"), await member("liar-b", { credentials: Buffer.from("made up") })];
    a.control.connect(b.node, [b.endpoint]);
    await eventually("refused twice", () => a.refused.length === 2);
    await eventually("counted", () => a.events.refusals("not-a-member") >= 2);
    assert.equal(a.events.all.length, 0);
    assert.equal(b.events.count("link-up"), 0);
  });

  it("does not link with another member than the one it dialled", async () => {
    const [a, b, c] = [await member("other-a"), await member("other-b"), await member("other-c")];
    a.control.connect(c.node, [b.endpoint, c.endpoint]);
    const up = await a.events.next("link-up");
    assert.equal(up.node, c.node);
    assert.deepEqual(b.events.all, []);
  });

  it("cuts a removed node and keeps it out", async () => {
    const [a, b] = [await member("removed-a"), await member("removed-b")];
    await link(b, a);
    a.removed.add(b.node);
    a.control.disconnect(b.node);
    await Promise.all([a.events.next("link-down"), b.events.next("link-down")]);
    await eventually("b tried again", () => a.refused.includes(b.node));
    assert.equal(a.events.count("link-up"), 1);
    assert.equal(b.events.count("link-up"), 1);
  });

  it("makes one link of dials from both sides at once, 20 times, and gossip flows on it", async () => {
    const [a, b] = [await member("both-a"), await member("both-b")];
    for (let round = 1; round <= 20; round++) {
      const [atA, atB] = [a.events.all.length, b.events.all.length];
      a.control.connect(b.node, [b.endpoint]);
      b.control.connect(a.node, [a.endpoint]);
      await Promise.all([a.events.next("link-up", undefined, atA), b.events.next("link-up", undefined, atB)]);
      const [fromA, fromB] = [testRecord(`a says ${round}`), testRecord(`b says ${round}`)];
      a.say(fromA);
      b.say(fromB);
      await Promise.all([b.events.record(fromA), a.events.record(fromB)]);
      a.control.disconnect(b.node);
      b.control.disconnect(a.node);
      await Promise.all([a.events.next("link-down", undefined, atA), b.events.next("link-down", undefined, atB)]);
      for (const [events, from] of [
        [a.events, atA],
        [b.events, atB],
      ] as const) {
        const links = events.all.slice(from).filter(({ type }) => type.startsWith("link-"));
        assert.deepEqual(
          links.map(({ type }) => type),
          ["link-up", "link-down"],
          `round ${round}`,
        );
      }
    }
  });

  it("reports a lost link at once and dials it again", async () => {
    const a = await member("lost-a");
    const b = await openMember("lost-b");
    await link(a, b);
    await b.control.close();
    await a.events.next("link-down");
    const again = await member("lost-b", { port: b.control.port });
    await a.events.next(
      "link-up",
      undefined,
      a.events.all.findIndex(({ type }) => type === "link-down"),
    );
    const record = testRecord("after the loss");
    again.say(record);
    await a.events.record(record);
  });

  it("says which port is taken", async () => {
    const a = await member("port-a");
    await assert.rejects(openMember("port-b", { port: a.control.port }), (error: unknown) => {
      assert.ok(error instanceof MeshError);
      assert.equal(error.code, "control/port-taken");
      assert.deepEqual(error.details, { address: `127.0.0.1:${a.control.port}` });
      assert.match(error.hint ?? "", /--listen/);
      return true;
    });
  });

  it("links through the second endpoint when the first is silent", async () => {
    const [a, b] = [await member("silent-a"), await member("silent-b")];
    const silent = createServer().listen(0, LOOPBACK).unref();
    await once(silent, "listening");
    const held: Socket[] = [];
    silent.on("connection", (socket) => held.push(socket));
    const startedAt = performance.now();
    a.control.connect(b.node, [{ ip: LOOPBACK, port: (silent.address() as AddressInfo).port }, b.endpoint]);
    await a.events.next("link-up");
    assert.ok(performance.now() - startedAt < 2_000);
    assert.equal(held.length, 1);
    silent.close();
  });

  it("hangs up on a stranger that says nothing", async () => {
    const a = await member("mute-a", { clock: hurriedClock });
    const socket = connect(a.control.port, LOOPBACK);
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once("close", resolve));
    await eventually("counted", () => a.events.refusals("handshake-timeout") === 1);
    assert.equal(a.events.refusals("handshake-failed"), 0);
  });

  it("refuses a flood of connections and counts it in few events", async () => {
    let reports = 0;
    const startedAt = performance.now();
    const a = await member("flood-a", { onEvent: () => reports++ });
    const sockets = Array.from({ length: 100 }, () => connect(a.control.port, LOOPBACK).on("error", () => {}));
    // 64 at most wait for their handshake at the same time.
    await eventually("refused", () => a.events.refusals("connection-limit") >= 36);
    for (const socket of sockets) socket.destroy();
    await eventually("counted", () => a.events.refusals("connection-limit") + a.events.refusals("handshake-failed") === sockets.length);
    const most = 2 * (1 + (performance.now() - startedAt) / REPORT_AFTER);
    assert.ok(reports <= most, `${reports} events`);
    assert.deepEqual(a.events.all, []);
  });

  it("counts what members should not say", async () => {
    const [a, b] = [await member("rude-a"), await member("rude-b")];
    b.records.root = () => Buffer.alloc(31);
    await link(a, b);
    b.control.publish(Buffer.from("no record"));
    await eventually("gossip rejected", () => a.events.refusals("gossip-rejected") === 1);
    await eventually("sync broken off", () => a.events.refusals("sync-fault") + b.events.refusals("sync-fault") > 0);
  });

  it("links a member while a stranger at another address holds all the places it can", async (test) => {
    const [a, b] = [await member("crowd-a"), await member("crowd-b")];
    const sockets: Socket[] = [];
    test.after(() => {
      for (const socket of sockets) socket.destroy();
    });
    for (let second = 0; second < 2; second++) {
      for (let n = 0; n < 45; n++) {
        sockets.push(connect({ port: a.control.port, host: LOOPBACK, localAddress: "127.0.0.2" }).on("error", () => {}));
      }
      await passed(1_000);
    }
    const startedAt = performance.now();
    await link(b, a);
    assert.ok(performance.now() - startedAt < 1_000);
  });

  it("cuts a member that hands over what core rejects, and after the third time does not sync with it", async () => {
    const [a, b] = [await member("junk-a", { clock: hurriedClock }), await member("junk-b")];
    b.records.merge(testRecord("of b"));
    b.records.missingFrom = () => [testRecord("good"), Buffer.alloc(39)];
    a.records.merge(testRecord("of a"));
    a.control.connect(b.node, [b.endpoint]);
    await eventually("a fourth link", () => a.events.count("link-up") >= 4);
    // By gossip, as soon as that is up.
    let said = 0;
    await eventually("a record by gossip, after the fourth link", () => {
      b.say(testRecord(`said ${++said}`));
      return a.events.count("records", ({ via, records }) => via === "gossip" && records.length === 1) > 0;
    });
    // A sync at the start of the link would have cut it by then.
    await passed(500);
    assert.deepEqual([a.events.count("link-up"), a.events.count("link-down"), a.events.refusals("sync-fault")], [4, 3, 3]);
    assert.ok(!a.records.has(testRecord("good")));
  });

  it("hands over the records a new link lacks, both ways", async () => {
    const [a, b] = [await member("sync-a"), await member("sync-b")];
    const [onlyA, onlyB, newerAtB] = [testRecord("only a"), testRecord("only b"), testRecord("both", 2n)];
    a.records.merge(onlyA);
    a.records.merge(testRecord("both", 1n));
    b.records.merge(onlyB);
    b.records.merge(newerAtB);
    await link(a, b);
    const [atA, atB] = [await a.events.record(onlyB), await b.events.record(onlyA)];
    await a.events.record(newerAtB);
    assert.deepEqual([atA.via, atB.via], ["sync", "sync"]);
    assert.deepEqual(a.records.root(), b.records.root());
  });

  it("hands over more than one sync may, in several", async () => {
    const [a, b] = [await member("large-a"), await member("large-b")];
    for (let i = 0; i < 700; i++) a.records.merge(testRecord(`large ${i}`, 1n, 8_192));
    await link(a, b);
    await eventually("everything is there", () => b.records.size >= 700);
  });

  it("closes within 2 s, twice, reports nothing afterwards and leaves no timer", async () => {
    let timers = 0;
    const clock: Clock = {
      ...realClock,
      at: (dueAt, fn) => {
        timers += 1;
        let isOver = false;
        const end = (): void => {
          if (!isOver) timers -= 1;
          isOver = true;
        };
        const cancel = realClock.at(dueAt, () => {
          end();
          fn();
        });
        return () => {
          end();
          cancel();
        };
      },
    };
    const [a, b] = [await openMember("close-a", { clock }), await member("close-b")];
    await link(a, b);
    // A dial that hangs, a stranger that waits for an answer, a carried request that waits for one.
    const silent = createServer().listen(0, LOOPBACK).unref();
    await once(silent, "listening");
    const held = once(silent, "connection");
    a.control.connect(await nodeOfSeed(seedOf("nobody")), [{ ip: LOOPBACK, port: (silent.address() as AddressInfo).port }]);
    const question = { seed: seedOf("joiner"), member: { node: a.node, endpoints: [a.endpoint] }, request: Buffer.from("direct") };
    const joiner = askToJoin({ ...question, signal: new AbortController().signal, clock: realClock, log: pino({ level: "silent" }) });
    b.control.carryJoin(1, a.node, Buffer.from("carried"));
    await a.events.next("join-request", ({ request }) => request.length === 7);
    await a.events.next("join-request", ({ request }) => request.length === 6);
    await held;
    const seen = a.events.all.length;
    const startedAt = performance.now();
    await Promise.all([a.control.close(), a.control.close()]);
    assert.ok(performance.now() - startedAt < 2_000);
    await assert.rejects(joiner, /gave no answer/);
    assert.equal((await b.events.next("join-carried")).response, undefined);
    await b.events.next("link-down");
    assert.equal(a.events.all.length, seen);
    assert.equal(timers, 0);
    silent.close();
  });
});
