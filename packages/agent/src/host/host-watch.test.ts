import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type HostView, parseIp } from "@mesh/core/ports";
import { pino } from "pino";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { HostWatch, type Monitor } from "./host-watch.ts";

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function view(text: string): HostView {
  return { addresses: [{ device: "eth0", ip: parseIp(text) ?? assert.fail(text), prefixLength: 24 }], routes: [] };
}

class Host {
  readonly clock = new ManualClock();
  readonly seen: string[] = [];
  now: HostView = view("192.0.2.1");
  looks = 0;
  failure: Error | undefined;
  /** A look takes until this is resolved, and shows what was there at its beginning. */
  slow: Promise<void> | undefined;
  monitors = 0;
  running = 0;
  news: () => void = () => {};
  end: (reason: string) => void = () => {};
  readonly said: string[] = [];
  readonly monitor: Monitor = {
    name: "ip monitor",
    start: (onNews, onEnd) => {
      this.monitors++;
      this.running++;
      this.news = onNews;
      this.end = (reason) => {
        this.running--;
        onEnd(reason);
      };
      return () => {
        this.running--;
      };
    },
  };
  readonly watch: HostWatch;

  constructor(known: HostView | undefined) {
    this.watch = new HostWatch({
      clock: this.clock,
      log: pino({ level: "warn" }, { write: (line: string) => void this.said.push(line) }),
      known,
      observe: async () => {
        this.looks++;
        if (this.failure !== undefined) throw this.failure;
        const seen = this.now;
        await this.slow;
        return seen;
      },
      onChange: (changed) => this.seen.push(changed.addresses.map((address) => address.ip).join()),
    });
    this.watch.keep(this.monitor);
  }

  async pass(duration: number): Promise<void> {
    this.clock.advance(duration);
    await settled();
  }
}

describe("HostWatch", () => {
  test("a burst of news is one look, 100 ms after its first; only a difference is reported", async () => {
    const host = new Host(view("192.0.2.1"));
    await host.pass(2_000);
    const before = host.looks;
    host.now = view("192.0.2.9");
    for (let i = 0; i < 12; i++) host.news();
    await host.pass(99);
    assert.equal(host.looks, before);
    await host.pass(1);
    assert.equal(host.looks, before + 1);
    host.news();
    await host.pass(100);
    assert.equal(host.looks, before + 2);
    assert.deepEqual(host.seen, ["192.0.2.9"]);
  });

  test("endless news is looked at every 100 ms and never put off", async () => {
    const host = new Host(undefined);
    await host.pass(2_000);
    const before = host.looks;
    for (let i = 0; i < 100; i++) {
      host.news();
      await host.pass(10);
    }
    assert.ok(host.looks - before >= 9 && host.looks - before <= 10, `${host.looks - before} looks in 1 s`);
  });

  test("finds what changed before the monitor listened", async () => {
    const host = new Host(view("192.0.2.7"));
    await host.pass(0);
    assert.deepEqual(host.seen, ["192.0.2.1"], "between the caller's last look and the start");
    host.now = view("192.0.2.2");
    await host.pass(1_000);
    assert.deepEqual(host.seen, ["192.0.2.1", "192.0.2.2"], "while the monitor was starting");
  });

  test("polls every 2 s while the monitor cannot run, and restarts it", async () => {
    const host = new Host(view("192.0.2.1"));
    await host.pass(5_000);
    for (let i = 2; i < 6; i++) {
      host.end("killed");
      host.now = view(`192.0.2.${i}`);
      await host.pass(1_999);
      assert.equal(host.monitors, i - 1);
      await host.pass(1);
      assert.equal(host.monitors, i);
    }
    assert.deepEqual(host.seen, ["192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"]);
    assert.equal(host.running, 1);
    assert.equal(host.said.length, 1, "the same reason is said once");
  });

  test("listens to each monitor once, to another one as well, and to none after its stop", async () => {
    const host = new Host(view("192.0.2.1"));
    await host.pass(2_000);
    host.watch.keep(host.monitor);
    assert.equal(host.monitors, 1);
    let stops = 0;
    let news = (): void => {};
    const other: Monitor = {
      name: "nft monitor",
      start: (onNews) => {
        news = onNews;
        return () => void stops++;
      },
    };
    host.watch.keep(other);
    await host.pass(2_000);
    const before = host.looks;
    news();
    await host.pass(100);
    assert.equal(host.looks, before + 1);
    host.watch.stop();
    assert.deepEqual([host.running, stops], [0, 1]);
    host.watch.keep(host.monitor);
    assert.equal(host.monitors, 1);
    assert.equal(host.clock.timerCount, 0);
  });

  test("a look that was asked for comes when it was, and an earlier one wins", async () => {
    const host = new Host(view("192.0.2.1"));
    await host.pass(2_000);
    await host.pass(2_000);
    const before = host.looks;
    host.watch.lookAfter(700);
    host.watch.lookAfter(900);
    await host.pass(699);
    assert.equal(host.looks, before);
    await host.pass(1);
    assert.equal(host.looks, before + 1);
    await host.pass(1_000);
    assert.equal(host.looks, before + 1);
  });

  test("news during a slow look is looked at after it, one look at a time", async () => {
    const host = new Host(view("192.0.2.1"));
    await host.pass(2_000);
    const slow = Promise.withResolvers<void>();
    host.slow = slow.promise;
    host.news();
    await host.pass(100);
    const before = host.looks;
    host.now = view("192.0.2.2");
    host.news();
    await host.pass(500);
    assert.equal(host.looks, before);
    slow.resolve();
    await settled();
    await host.pass(100);
    assert.deepEqual(host.seen, ["192.0.2.2"]);
  });

  test("a look that fails is not the end", async () => {
    const host = new Host(view("192.0.2.1"));
    host.failure = new Error("EMFILE");
    await host.pass(2_000);
    host.failure = undefined;
    host.now = view("192.0.2.2");
    host.news();
    await host.pass(100);
    assert.deepEqual(host.seen, ["192.0.2.2"]);
  });

  test("after stop there is no monitor, no timer and no report, not even of a look under way", async () => {
    const host = new Host(view("192.0.2.1"));
    await host.pass(2_000);
    host.now = view("192.0.2.2");
    host.news();
    host.clock.advance(100);
    host.watch.stop();
    await settled();
    assert.equal(host.running, 0);
    assert.equal(host.clock.timerCount, 0);
    host.news();
    assert.equal(host.clock.timerCount, 0);
    assert.deepEqual(host.seen, []);
  });
});
