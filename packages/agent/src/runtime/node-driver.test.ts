import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ManualClock } from "./manual-clock-fixture.ts";
import { NodeDriver } from "./node-driver.ts";

type Event =
  | { readonly type: "timer" }
  | { readonly type: "wall-clock"; readonly offset: number }
  | { readonly type: "go"; readonly name: string };

class Recorder {
  readonly handled: string[] = [];
  readonly fatal: unknown[] = [];
  readonly performed: string[] = [];
  readonly clock = new ManualClock(1_000);
  readonly effects = new Map<string, readonly string[]>();
  onPerform: (effect: string) => void = () => {};
  onTimer: () => void = () => {};
  onHandle: (event: Event) => void = () => {};
  wake: number | undefined;
  readonly driver = new NodeDriver<Event, string>({
    machine: {
      handle: (event, now) => {
        this.onHandle(event);
        const name = event.type === "go" ? event.name : event.type === "timer" ? "timer" : `wall ${event.offset}`;
        this.handled.push(`${name}@${now}`);
        return this.effects.get(name) ?? [];
      },
      wakeAt: () => this.wake,
    },
    clock: this.clock,
    perform: (effect) => {
      this.performed.push(effect);
      this.onPerform(effect);
    },
    timerEvent: { type: "timer" },
    beforeTimer: () => this.onTimer(),
    wallClockEvent: (offset) => ({ type: "wall-clock", offset }),
    onFatal: (error) => this.fatal.push(error),
  });

  go(name: string, ...effects: readonly string[]): void {
    this.effects.set(name, effects);
    this.driver.dispatch({ type: "go", name });
  }
}

describe("NodeDriver", () => {
  test("performs effects in order; an event dispatched meanwhile comes after all of them", () => {
    const r = new Recorder();
    r.effects.set("inner", ["i1", "i2"]);
    r.onPerform = (effect) => {
      if (effect === "a") r.driver.dispatch({ type: "go", name: "inner" });
    };
    r.go("outer", "a", "b", "c");
    assert.deepEqual(r.performed, ["a", "b", "c", "i1", "i2"]);
    assert.deepEqual(r.handled, ["outer@1000", "inner@1000"]);
  });

  test("wakes the machine when it wants, with one timer, and again when it moves", () => {
    const r = new Recorder();
    r.wake = 1_500;
    r.go("first");
    r.wake = 1_200;
    r.go("second");
    assert.equal(r.clock.timerCount, 1);
    r.onHandle = () => {
      r.wake = undefined;
    };
    r.clock.advance(199);
    assert.equal(r.handled.length, 2);
    r.clock.advance(1);
    assert.deepEqual(r.handled.slice(2), ["timer@1200"]);
    assert.equal(r.clock.timerCount, 0);
  });

  test("a machine that wants the same instant again after its timer gets it", () => {
    const r = new Recorder();
    r.wake = 1_100;
    r.go("first");
    let left = 2;
    r.onHandle = () => {
      if (--left === 0) r.wake = undefined;
    };
    r.clock.advance(100);
    assert.deepEqual(r.handled, ["first@1000", "timer@1100", "timer@1100"]);
  });

  test("what happened before a timer and was not told yet comes before it", () => {
    const r = new Recorder();
    r.wake = 1_500;
    r.onTimer = () => r.go("stamps");
    r.go("begin");
    r.wake = undefined;
    r.clock.advance(1_000);
    assert.deepEqual(r.handled, ["begin@1000", "stamps@1500", "timer@1500"]);
  });

  test("tells the wall-clock offset at start, and again only when it moved by more than 100 ms", () => {
    const r = new Recorder();
    r.clock.stepWall(50_000);
    r.driver.start();
    assert.deepEqual(r.handled, ["wall 50000@1000"]);
    r.clock.stepWall(60);
    r.clock.advance(10_000);
    assert.equal(r.handled.length, 1);
    r.clock.stepWall(41);
    r.clock.advance(2_000);
    assert.deepEqual(r.handled.slice(1), ["wall 50101@13000"], "slow drift adds up");
    r.clock.stepWall(-90_000);
    r.clock.advance(2_000);
    assert.deepEqual(r.handled.slice(2), ["wall -39899@15000"]);
  });

  test("an exception of the machine is fatal: nothing more is handled", () => {
    const r = new Recorder();
    r.driver.start();
    r.onHandle = () => assert.fail("rule broken");
    r.go("bad", "never");
    assert.match(String(r.fatal[0]), /rule broken/);
    r.onHandle = () => {};
    r.go("after", "never");
    r.clock.advance(60_000);
    assert.deepEqual(r.performed, []);
    assert.equal(r.fatal.length, 1);
    assert.equal(r.clock.timerCount, 0);
  });

  test("an exception while performing is fatal: the effects after it are not performed", () => {
    const r = new Recorder();
    r.onPerform = (effect) => {
      if (effect === "b") assert.fail("cannot");
    };
    r.go("bad", "a", "b", "c");
    assert.deepEqual(r.performed, ["a", "b"]);
    assert.equal(r.fatal.length, 1);
  });

  test("a stop from inside an effect ends everything that waits", () => {
    const r = new Recorder();
    r.wake = 2_000;
    r.onPerform = (effect) => {
      if (effect !== "a") return;
      r.driver.dispatch({ type: "go", name: "waiting" });
      r.driver.stop();
    };
    r.go("last", "a", "b");
    assert.deepEqual(r.performed, ["a"]);
    assert.deepEqual(r.handled, ["last@1000"]);
    assert.equal(r.clock.timerCount, 0);
    assert.deepEqual(r.fatal, []);
  });
});
