import assert from "node:assert/strict";
import { test } from "node:test";
import { type Endpoint, type Ip, type Millis, minutes, seconds } from "@mesh/core/ports";
import { pino } from "pino";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { Faults, type Grant, LEASE } from "./mapping.ts";
import { MappingKeeper, RELEASE_TIMEOUT } from "./mapping-keeper.ts";

const external: Endpoint = { ip: "11.22.33.2" as Ip, port: 40_000 };

/** A keeper whose router is what the test makes of it; everything it says is kept with its time. */
class Scene {
  readonly clock: ManualClock = new ManualClock(1_000_000);
  readonly faults: Faults = new Faults();
  readonly asked: { readonly at: Millis; readonly suggested: Endpoint | undefined }[] = [];
  readonly changes: (Endpoint | undefined)[] = [];
  released = 0;
  reboots = 0;
  /** What the router gives from now on. */
  gives: Partial<Grant> | Error | undefined;
  /** Of its own clock, in seconds. */
  bootedAt: Millis = 0;
  release: Grant["release"] = async () => void this.released++;
  readonly keeper: MappingKeeper;

  constructor(gives: Partial<Grant> | Error | undefined) {
    this.gives = gives;
    this.keeper = new MappingKeeper({
      uplink: { gateway: "192.168.1.1" as Ip, device: "eth0", source: "192.168.1.10" as Ip },
      clock: this.clock,
      log: pino({ level: "silent" }),
      faults: this.faults,
      ask: async (suggested) => {
        this.asked.push({ at: this.clock.now(), suggested });
        if (this.gives instanceof Error) throw this.gives;
        const epoch = (this.clock.now() - this.bootedAt) / seconds(1);
        if (this.gives === undefined) return undefined;
        return { protocol: "pcp", external, lifetime: LEASE, epoch, release: (signal) => this.release(signal), ...this.gives };
      },
      onChanged: () => this.changes.push(this.keeper.grant?.external),
      onReboot: () => this.reboots++,
    });
  }

  static async open(gives: Partial<Grant> | undefined): Promise<Scene> {
    const scene = new Scene(gives);
    await settle();
    return scene;
  }

  /** Whole minutes in which everything may happen that is due. */
  async pass(count: number): Promise<void> {
    for (let n = 0; n < count * 12; n++) {
      this.clock.advance(seconds(5));
      await settle();
    }
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

const ago = ({ clock, asked }: Scene, start: Millis): readonly number[] => {
  assert.ok(clock.now() >= start);
  return asked.map(({ at }) => (at - start) / minutes(1));
};

test("a mapping is renewed after half of its lease, with what is held as the wish, and told once", async () => {
  const scene = await Scene.open({});
  await scene.pass(130);
  assert.deepEqual(ago(scene, 1_000_000), [0, 60, 120]);
  assert.deepEqual(
    scene.asked.map(({ suggested }) => suggested),
    [undefined, external, external],
  );
  assert.deepEqual(scene.changes, [external]);
  assert.equal(scene.reboots, 0);
});

test("a shorter lease is renewed at its own half", async () => {
  const scene = await Scene.open({ lifetime: minutes(10) });
  await scene.pass(11);
  assert.deepEqual(ago(scene, 1_000_000), [0, 5, 10]);
});

test("another port than before is told", async () => {
  const scene = await Scene.open({});
  const other = { ...external, port: 40_001 };
  scene.gives = { external: other };
  await scene.pass(61);
  assert.deepEqual(scene.changes, [external, other]);
});

test("a renewal that fails is tried again while the lease lasts, and only then is the mapping gone", async () => {
  const scene = await Scene.open({ lifetime: minutes(10) });
  scene.gives = undefined;
  await scene.pass(9.5);
  assert.deepEqual(scene.keeper.grant?.external, external);
  const times = ago(scene, 1_000_000);
  assert.deepEqual(times.slice(0, 4), [0, 5, 7.5, 8.75]);
  assert.ok(
    times.every((at, i) => i < 2 || at - (times[i - 1] ?? 0) >= 10 / 60),
    `${times}`,
  );
  await scene.pass(1);
  assert.deepEqual([scene.changes, scene.keeper.grant?.external], [[external, undefined], undefined]);
});

test("a router that is back within the lease gives nothing new to tell", async () => {
  const scene = await Scene.open({ lifetime: minutes(10) });
  scene.gives = undefined;
  await scene.pass(6);
  scene.gives = {};
  await scene.pass(5);
  assert.deepEqual(scene.changes, [external]);
});

test("without a mapping it is asked for after 1, 5, 30, 60 and every 60 minutes", async () => {
  const scene = await Scene.open(undefined);
  await scene.pass(220);
  assert.deepEqual(ago(scene, 1_000_000), [0, 1, 6, 36, 96, 156, 216]);
  assert.deepEqual(scene.changes, []);
});

test("a router whose clock went back has lost its mappings: counted, and told to the others", async () => {
  const scene = await Scene.open({});
  scene.bootedAt = scene.clock.now() + minutes(59);
  await scene.pass(61);
  assert.deepEqual([scene.reboots, scene.faults.view()["rebooted"]], [1, 1]);
  await scene.pass(60);
  assert.equal(scene.reboots, 1);
});

test("a router's clock that is slow by an eighth is no reboot, one that stood still is", async () => {
  const slow = await Scene.open({ epoch: 10_000 });
  slow.gives = { epoch: 10_000 + 3_600 * (7 / 8) };
  await slow.pass(61);
  assert.equal(slow.reboots, 0);
  const still = await Scene.open({ epoch: 10_000 });
  still.gives = { epoch: 10_000 };
  await still.pass(61);
  assert.equal(still.reboots, 1);
});

test("clocks of different protocols are not compared", async () => {
  const scene = await Scene.open({ epoch: 10_000 });
  scene.gives = { protocol: "nat-pmp", epoch: 5 };
  await scene.pass(61);
  assert.equal(scene.reboots, 0);
});

test("others' news make it ask again, but not twice within a minute", async () => {
  const scene = await Scene.open({});
  scene.keeper.askAgain();
  await settle();
  assert.equal(scene.asked.length, 1);
  await scene.pass(1);
  scene.keeper.askAgain();
  scene.keeper.askAgain();
  await settle();
  assert.equal(scene.asked.length, 2);
  await scene.pass(61);
  assert.equal(scene.asked.length, 3, "the renewal is counted from the last grant");
});

test("closing takes the mapping back, and leaves no timer", async () => {
  const scene = await Scene.open({});
  await scene.keeper.close();
  assert.deepEqual([scene.released, scene.clock.timerCount, scene.keeper.grant?.external], [1, 0, undefined]);
  scene.keeper.askAgain();
  await scene.pass(200);
  assert.equal(scene.asked.length, 1);
});

test("closing without a mapping takes nothing back", async () => {
  const scene = await Scene.open(undefined);
  await scene.keeper.close();
  assert.deepEqual([scene.released, scene.clock.timerCount], [0, 0]);
});

test("a router that does not answer when the mapping is taken back holds nobody up for more than 300 ms", async () => {
  const scene = await Scene.open({});
  let isAborted = false;
  scene.release = (signal) =>
    new Promise((resolve) => {
      signal.addEventListener("abort", () => {
        isAborted = true;
        resolve();
      });
    });
  const closed = scene.keeper.close();
  await settle();
  scene.clock.advance(RELEASE_TIMEOUT - 1);
  await settle();
  assert.equal(isAborted, false);
  scene.clock.advance(1);
  await closed;
  assert.equal(isAborted, true);
});

test("taking back that fails as it never should ends it all the same", async () => {
  const scene = await Scene.open({});
  scene.release = async () => assert.fail("this is a bug");
  await scene.keeper.close();
  assert.deepEqual([scene.clock.timerCount, scene.keeper.grant], [0, undefined]);
});

test("what was granted while it closed is taken back, too", async () => {
  const scene = new Scene({});
  await scene.keeper.close();
  assert.deepEqual([scene.released, scene.changes], [1, []]);
});

test("a question that fails as it never should is a router without a mapping", async () => {
  const scene = new Scene(new Error("this is a bug"));
  await scene.pass(2);
  assert.equal(scene.keeper.grant?.external, undefined);
  assert.equal(scene.clock.timerCount, 1);
});
