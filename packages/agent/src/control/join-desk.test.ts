import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { JoinDesk, MAX_WAITING, type PendingJoin } from "./join-desk.ts";
import { SettlingClock } from "./settling-clock-fixture.ts";

const request = Buffer.from("laptop");
const busy = Buffer.from("busy");
const forever = (): AbortSignal => new AbortController().signal;

function desk(): { readonly desk: JoinDesk; readonly clock: SettlingClock; readonly asked: PendingJoin[] } {
  const clock = new SettlingClock();
  const asked: PendingJoin[] = [];
  return { desk: new JoinDesk({ clock, onRequest: (one) => asked.push(one), onFull: () => busy }), clock, asked };
}

describe("join desk", () => {
  it("gives each request its own answer, once", async () => {
    const { desk: at, asked, clock } = desk();
    const answers = [1, 2].map(() => at.ask({ request }, { timeout: 100, signal: forever() }));
    const [first, second] = asked;
    assert.ok(first !== undefined && second !== undefined && first.id !== second.id);
    at.answer(second.id, Buffer.from("two"));
    at.answer(first.id, Buffer.from("one"));
    at.answer(first.id, Buffer.from("again"));
    at.answer(999, Buffer.from("nobody"));
    assert.deepEqual((await Promise.all(answers)).map(String), ["one", "two"]);
    assert.equal(clock.pending, 0);
  });

  it("gives up when time is up, or the asker has gone", async () => {
    const { desk: at, asked, clock } = desk();
    const gone = new AbortController();
    const late = at.ask({ request }, { timeout: 100, signal: forever() });
    const left = at.ask({ request }, { timeout: 100, signal: gone.signal });
    gone.abort();
    assert.equal(await left, undefined);
    await clock.advance(100);
    assert.equal(await late, undefined);
    assert.equal(await at.ask({ request }, { timeout: 100, signal: gone.signal }), undefined);
    for (const { id } of asked) at.answer(id, request);
    assert.deepEqual([asked.length, clock.pending], [2, 0]);
  });

  it("keeps a bounded number waiting, and tells the others that it is full", async () => {
    const { desk: at, asked } = desk();
    for (let i = 0; i < MAX_WAITING; i++) void at.ask({ request }, { timeout: 100, signal: forever() });
    assert.equal(await at.ask({ request }, { timeout: 100, signal: forever() }), busy);
    assert.equal(asked.length, MAX_WAITING);
    at.answer(asked[0]?.id ?? 0, request);
    void at.ask({ request }, { timeout: 100, signal: forever() });
    assert.equal(asked.length, MAX_WAITING + 1);
  });
});
