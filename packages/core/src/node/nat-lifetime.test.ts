import assert from "node:assert/strict";
import { test } from "node:test";
import { randomBelow } from "../crypto/random.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";
import { KEEPALIVES, NatLifetime } from "./nat-lifetime.ts";

const RTT = 40;

/** A host behind a NAT that forgets a flow so long after the last packet out, and its home relay. */
class Behind {
  readonly lifetime: NatLifetime;
  now: Millis = 1_000;
  forgetsAfter: Millis;
  pings = 0;
  recalls = 0;
  /** When the NAT was shut before the next PING opened it, and for how long in all. */
  shutFor: Millis = 0;
  /** Of the calls of the home, this many are lost from now on. */
  lost = 0;
  /** Of all datagrams, so many are lost. */
  loss = 0;
  /** How long a shorter keepalive than the first was in use. */
  shortFor: Millis = 0;
  readonly #random: SeededRandom;

  constructor(forgetsAfter: Millis, seed = 1) {
    this.#random = new SeededRandom(seed);
    this.lifetime = new NatLifetime(this.#random);
    this.forgetsAfter = forgetsAfter;
    this.lifetime.enter("home");
  }

  get level(): number {
    return KEEPALIVES.indexOf(this.lifetime.keepalive);
  }

  run(until: Millis): this {
    while (this.now < until) {
      this.lifetime.beginKeepalive(this.now);
      const every = this.lifetime.keepalive.max;
      const recall = this.lifetime.recall(every, this.now);
      this.pings++;
      this.lifetime.answered(this.now + RTT);
      const backAt = this.now + RTT + (recall?.after ?? 0);
      if (recall !== undefined) this.recalls++;
      const isIn = backAt - this.now < this.forgetsAfter && this.lost-- <= 0 && this.#comes(recall?.copies ?? 0);
      if (recall !== undefined && isIn) this.lifetime.recalled(recall.token, backAt);
      const silence = this.lifetime.keepalive.max + RTT;
      if (this.level > 0) this.shortFor += silence;
      this.shutFor += Math.max(0, silence - this.forgetsAfter);
      this.now += silence;
    }
    return this;
  }

  /** Of the recalls that leave, one comes, and of as many calls, one comes back. */
  #comes(copies: number): boolean {
    const one = (): boolean => Array.from({ length: copies }, () => randomBelow(this.#random, 1_000) >= 1_000 * this.loss).some(Boolean);
    return one() && one();
  }
}

test("a lifetime of 30 s or more: a keepalive every 20 to 26 s, two tests, and two more in 15 minutes", () => {
  for (const forgetsAfter of [30, 120, 3_600].map(seconds)) {
    const host = new Behind(forgetsAfter).run(minutes(60));
    assert.equal(host.level, 0);
    assert.equal(host.shutFor, 0);
    assert.ok(host.pings + host.recalls <= 2.6 * 60, `${host.pings} and ${host.recalls}`);
    assert.ok(host.recalls >= 6 && host.recalls <= 10, `${host.recalls}`);
  }
});

test("a lifetime of 15 s, or of 8, is found within a minute or two, and then nothing is missed for an hour", () => {
  for (const [forgetsAfter, level, foundAfter] of [
    [15, 1, 81],
    [8, 2, 121],
  ] as const) {
    const host = new Behind(seconds(forgetsAfter)).run(seconds(foundAfter));
    assert.equal(host.level, level);
    host.shutFor = 0;
    host.run(minutes(55));
    assert.equal(host.shutFor, 0);
  }
});

test("one call that is lost shortens nothing", () => {
  const host = new Behind(seconds(30));
  host.lost = 1;
  host.run(minutes(5));
  assert.equal(host.level, 0);
});

test("what was shortened is tried longer after 1, 2, 4, … hours, one keepalive at a time; and stays longer if the NAT lets it", () => {
  const host = new Behind(seconds(15)).run(minutes(50));
  host.shutFor = 0;
  host.run(minutes(60 * 24));
  assert.equal(host.level, 1);
  // After 1, 3, 7 and 15 hours.
  assert.ok(host.shutFor > 0 && host.shutFor <= 5 * seconds(12), `${host.shutFor}`);
  host.forgetsAfter = seconds(60);
  host.run(minutes(60 * 40));
  assert.equal(host.level, 0);
});

test("a port that the home sees change twice is as good as two calls that did not come", () => {
  const { lifetime } = new Behind(seconds(15));
  lifetime.remapped(10_000);
  assert.equal(lifetime.keepalive, KEEPALIVES[0]);
  lifetime.remapped(33_000);
  assert.equal(lifetime.keepalive, KEEPALIVES[1]);
});

test("each network has its own; one that was left is known when it is entered again, and tested", () => {
  const host = new Behind(seconds(15)).run(minutes(10));
  host.lifetime.enter("office");
  assert.equal(host.level, 0);
  host.lifetime.enter("home");
  assert.equal(host.level, 1);
  host.lifetime.enter("home");
  host.shutFor = 0;
  host.run(host.now + minutes(40));
  assert.equal(host.level, 1);
  assert.equal(host.shutFor, 0, "coming and going makes nothing be tried again before its time");
});

test("a home that never calls back shortens nothing for long, and is asked no more until there is another one", () => {
  const host = new Behind(seconds(30));
  host.lost = Number.POSITIVE_INFINITY;
  host.run(minutes(3));
  assert.equal(host.level, 0);
  assert.equal(host.lifetime.isShort, false);
  const { recalls } = host;
  host.run(minutes(60));
  assert.equal(host.recalls, recalls);
  host.lifetime.homeReplaced();
  host.lost = 0;
  host.run(minutes(62));
  assert.equal(host.recalls, recalls + 2);
});

test("a lifetime counts as short only when a call came at a shorter one", () => {
  const host = new Behind(seconds(15));
  host.run(seconds(54));
  assert.equal(host.level, 1);
  assert.equal(host.lifetime.isShort, false);
  host.run(seconds(120));
  assert.equal(host.lifetime.isShort, true);
});

test("5 % of loss each way passes for a short lifetime in less than 1 % of the time", () => {
  const hosts = Array.from({ length: 20 }, (_, i) => {
    const host = new Behind(seconds(30), i + 1);
    host.loss = 0.05;
    return host.run(minutes(60 * 24));
  });
  const share = hosts.reduce((sum, { shortFor }) => sum + shortFor, 0) / (20 * minutes(60 * 24));
  assert.ok(share < 0.01, `${share}`);
});

test("a PING long after its time, as after a sleep, and a call before its time tell nothing", () => {
  const lifetime = new NatLifetime(new SeededRandom(1));
  const every = seconds(20);
  for (let now = 0; now < minutes(60); now += minutes(5)) {
    lifetime.beginKeepalive(now);
    const token = lifetime.recall(every, now)?.token ?? assert.fail();
    lifetime.recalled(token, now + seconds(2));
    lifetime.answered(now + RTT);
  }
  assert.equal(lifetime.keepalive, KEEPALIVES[0]);
});

test("a home that is silent, another home, a PING before its time, and a token of somebody's own tell nothing", () => {
  const lifetime = new NatLifetime(new SeededRandom(1));
  const every = seconds(20);
  const next = (now: Millis): Uint8Array | undefined => {
    lifetime.beginKeepalive(now);
    return lifetime.recall(every, now)?.token;
  };
  for (let now = 0; now < seconds(200); now += seconds(21)) assert.ok(next(now), "the home does not answer");
  lifetime.homeReplaced();
  lifetime.answered(seconds(200));
  assert.ok(next(seconds(201)));
  assert.equal(next(seconds(206)), undefined, "void, and not begun anew: PINGs that follow each other quickly are no keepalives");
  assert.ok(next(seconds(212)), "begun anew");
  lifetime.recalled(new Uint8Array(8), seconds(225));
  lifetime.answered(seconds(226));
  assert.equal(lifetime.keepalive, KEEPALIVES[0]);
});
