import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, test } from "node:test";
import { pino } from "pino";
import { ManualClock } from "./manual-clock-fixture.ts";
import { Shutdown } from "./shutdown.ts";

class FakeProcess extends EventEmitter {
  readonly exits: number[] = [];
  exit(code: number): void {
    this.exits.push(code);
  }
}

function start(): { shutdown: Shutdown; process: FakeProcess; clock: ManualClock; closed: string[] } {
  const process = new FakeProcess();
  const clock = new ManualClock();
  return { shutdown: new Shutdown({ process, clock, log: pino({ level: "silent" }) }), process, clock, closed: [] };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("Shutdown", () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    test(`${signal} closes in reverse order, one after the other, and exits with 0`, async () => {
      const { shutdown, process, closed, clock } = start();
      const slow = Promise.withResolvers<void>();
      shutdown.add("first", () => void closed.push("first"));
      shutdown.add("second", async () => {
        closed.push("second begins");
        await slow.promise;
        closed.push("second");
      });
      process.emit(signal);
      assert.ok(shutdown.signal.aborted);
      await settled();
      assert.deepEqual(closed, ["second begins"]);
      assert.deepEqual(process.exits, []);
      slow.resolve();
      await settled();
      assert.deepEqual(closed, ["second begins", "second", "first"]);
      assert.deepEqual(process.exits, [0]);
      assert.equal(clock.timerCount, 0);
      assert.equal(process.listenerCount("SIGTERM"), 0);
    });

  test("runs once, whoever asks", async () => {
    const { shutdown, process, closed } = start();
    shutdown.add("part", () => void closed.push("part"));
    const [a, b] = [shutdown.stop("mesh down"), shutdown.stop("again")];
    assert.equal(a, b);
    await a;
    assert.deepEqual(closed, ["part"]);
    assert.deepEqual(process.exits, [0]);
  });

  test("a second signal ends at once with the shell's code", async () => {
    const { shutdown, process } = start();
    shutdown.add("stuck", () => new Promise<void>(() => {}));
    process.emit("SIGTERM");
    await settled();
    process.emit("SIGINT");
    assert.deepEqual(process.exits, [130]);
  });

  test("a part that hangs is left behind after 3 s, the others still close, the code is 1", async () => {
    const { shutdown, process, closed, clock } = start();
    shutdown.add("other", () => void closed.push("other"));
    shutdown.add("stuck", () => new Promise<void>(() => {}));
    const done = shutdown.stop("test");
    await settled();
    clock.advance(2_999);
    await settled();
    assert.deepEqual(closed, []);
    clock.advance(1);
    await done;
    assert.deepEqual(closed, ["other"]);
    assert.deepEqual(process.exits, [1]);
  });

  for (const [how, close] of [
    ["throws", () => assert.fail("no")],
    ["rejects", () => Promise.reject(new Error("no"))],
  ] as const)
    test(`a part whose close ${how} does not stop the others`, async () => {
      const { shutdown, process, closed } = start();
      shutdown.add("other", () => void closed.push("other"));
      shutdown.add("bad", close);
      await shutdown.stop("test");
      assert.deepEqual(closed, ["other"]);
      assert.deepEqual(process.exits, [1]);
    });

  for (const event of ["uncaughtException", "unhandledRejection"])
    test(`${event} shuts down with 1`, async () => {
      const { shutdown, process, closed } = start();
      shutdown.add("part", () => void closed.push("part"));
      const bug = new Error("bug");
      process.emit(event, bug);
      assert.equal(shutdown.signal.reason, bug);
      await settled();
      assert.deepEqual(closed, ["part"]);
      assert.deepEqual(process.exits, [1]);
    });

  test("an error while closing is not a second shutdown", async () => {
    const { shutdown, process, closed } = start();
    shutdown.add("part", async () => {
      closed.push("part");
      process.emit("uncaughtException", new Error("bug"));
      await settled();
    });
    await shutdown.stop("test");
    assert.deepEqual(closed, ["part"]);
    assert.deepEqual(process.exits, [1]);
  });

  test("what opens during the shutdown is closed as well", async () => {
    const { shutdown, closed } = start();
    shutdown.add("part", () => {
      shutdown.add("late", () => void closed.push("late"));
      closed.push("part");
    });
    await shutdown.stop("test");
    assert.deepEqual(closed, ["part", "late"]);
  });

  test("takes the real process", () => {
    const accepts: ConstructorParameters<typeof Shutdown>[0]["process"] = process;
    assert.ok(accepts);
  });
});
