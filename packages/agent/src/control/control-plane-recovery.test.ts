import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { Clock } from "@mesh/core/ports";
import { SIMULTANEOUS } from "./connection-choice.ts";
import { PING_PATIENCE } from "./links.ts";
import { eventually, LOOPBACK, link, type Member, type MemberOptions, openMember, passed, realClock } from "./member-fixture.ts";
import { openWay } from "./open-way-fixture.ts";
import { testRecord } from "./test-records-fixture.ts";

// At the same time: most of their time is spent waiting.
describe("control plane, after something went wrong", { concurrency: 4 }, () => {
  const open: Member[] = [];
  const member = async (name: string, options?: MemberOptions): Promise<Member> => {
    const opened = await openMember(name, options);
    open.push(opened);
    return opened;
  };
  after(() => Promise.all(open.map(({ control }) => control.close())));

  it("replaces a frozen link at once when the host's network changed", async (test) => {
    const [a, b] = [await member("frozen-a"), await member("frozen-b")];
    const way = await openWay(b.control.port);
    test.after(() => way.close());
    a.control.connect(b.node, [{ ip: LOOPBACK, port: way.port }]);
    await Promise.all([a.events.next("link-up"), b.events.next("link-up")]);
    await passed(SIMULTANEOUS);
    way.freeze();
    const startedAt = performance.now();
    a.control.networkChanged();
    const record = testRecord("after the change");
    b.say(record);
    await a.events.record(record);
    // libp2p's own ping needs 10 s and more.
    assert.ok(performance.now() - startedAt < 3_000);
    const back = testRecord("after the change, back");
    a.say(back);
    await b.events.record(back);
    assert.deepEqual([a.events.count("link-down"), b.events.count("link-down")], [0, 0]);
  });

  it("leaves a link alone that answers when the host's network changed", async () => {
    const [a, b] = [await member("steady-a"), await member("steady-b")];
    await link(a, b);
    for (let i = 0; i < 10; i++) a.control.networkChanged();
    await passed(PING_PATIENCE + 100);
    assert.deepEqual([a.events.count("link-down"), b.events.count("link-down")], [0, 0]);
  });

  it("asks at link-up whether gossip delivers, both sides, and no more while it is idle", async () => {
    const [a, b] = [await member("asked-a"), await member("asked-b")];
    await link(a, b);
    await eventually("both were answered", () => [a, b].every(({ control }) => control.gossipCounts().answered === 1));
    await passed(500);
    for (const { control, events } of [a, b]) {
      assert.deepEqual(control.gossipCounts(), { asked: 1, answered: 1, heals: 0, cuts: 0 });
      assert.equal(events.refusals("gossip-rejected"), 0);
    }
  });

  it("brings gossip back when the connection that carried it closes and another stays", async (test) => {
    const [a, b] = [await member("trap-a"), await member("trap-b")];
    const way = await openWay(b.control.port);
    test.after(() => way.close());
    a.control.connect(b.node, [{ ip: LOOPBACK, port: way.port }]);
    await Promise.all([a.events.next("link-up"), b.events.next("link-up")]);
    await passed(SIMULTANEOUS);
    await eventually("it delivers", () => a.control.gossipCounts().answered === 1);
    way.freeze();
    // Lost in the frozen connection; what both have said meanwhile comes once gossip is back.
    const [lostA, lostB] = [testRecord("lost by a"), testRecord("lost by b")];
    a.say(lostA);
    b.say(lostB);
    const startedAt = performance.now();
    a.control.networkChanged();
    await Promise.all([b.events.record(lostA), a.events.record(lostB)]);
    await eventually("it delivers again", () => [a, b].every(({ control }) => control.gossipCounts().answered >= 2));
    test.diagnostic(`back after ${Math.round(performance.now() - startedAt)} ms`);
    const [fromA, fromB] = [testRecord("a after that"), testRecord("b after that")];
    a.say(fromA);
    b.say(fromB);
    assert.deepEqual([(await b.events.record(fromA)).via, (await a.events.record(fromB)).via], ["gossip", "gossip"]);
  });

  it("checks its links when the host slept", async (test) => {
    let slept = 0;
    const clock: Clock = {
      ...realClock,
      now: () => realClock.now() + slept,
      at: (dueAt, fn) => realClock.at(dueAt - slept, fn),
    };
    const [a, b] = [await member("sleep-a", { clock }), await member("sleep-b")];
    const way = await openWay(b.control.port);
    test.after(() => way.close());
    a.control.connect(b.node, [{ ip: LOOPBACK, port: way.port }]);
    await Promise.all([a.events.next("link-up"), b.events.next("link-up")]);
    await passed(SIMULTANEOUS);
    way.freeze();
    slept = 3_600_000;
    const record = testRecord("said while it slept");
    b.say(record);
    const startedAt = performance.now();
    await a.events.record(record);
    // 2 s until the watch ticks, and as after any change of the network.
    assert.ok(performance.now() - startedAt < 5_000);
  });

  it("settles: what was published is with every linked member when it says so, also with one that gossip does not reach", async () => {
    const [a, b, c] = [await member("settle-a"), await member("settle-b"), await member("settle-c")];
    await Promise.all([link(a, b), link(a, c)]);
    const records = Array.from({ length: 200 }, (_, i) => testRecord(`goodbye ${i}`));
    for (const record of records) a.records.merge(record);
    assert.equal(await a.control.settle(5_000), 2);
    for (const { records: has } of [b, c]) assert.ok(records.every((record) => has.has(record)));
  });

  it("settles in time when a member does not answer, and counts the others", async (test) => {
    const [a, b, c] = [await member("late-a"), await member("late-b"), await member("late-c")];
    const way = await openWay(b.control.port);
    test.after(() => way.close());
    a.control.connect(b.node, [{ ip: LOOPBACK, port: way.port }]);
    await Promise.all([link(a, c), b.events.next("link-up")]);
    await a.events.next("link-up", ({ node }) => node === b.node);
    way.freeze();
    const record = testRecord("to whom it reaches");
    a.say(record);
    const startedAt = performance.now();
    assert.equal(await a.control.settle(1_000), 1);
    assert.ok(performance.now() - startedAt < 1_500);
    assert.ok(c.records.has(record));
  });

  it("serves a member's syncs at a pace", async () => {
    const [a, b] = [await member("often-a"), await member("often-b")];
    await link(a, b);
    for (let i = 0; i < 60; i++) await a.control.settle(1_000);
    await eventually("counted", () => b.events.refusals("member-limit") > 0);
    assert.deepEqual([a.events.count("link-down"), b.events.count("link-down")], [0, 0]);
  });
});
