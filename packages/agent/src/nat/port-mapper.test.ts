/** The whole mapper with routers on loopback. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { formatEndpoint, type HostView, type Ip, minutes, seconds } from "@mesh/core/ports";
import { SeededRandom } from "@mesh/core/testing";
import { pino } from "pino";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import {
  type Answer,
  EXTERNAL,
  FakeRouter,
  type FakeRouterOptions,
  grantsPcp,
  INTERNAL_PORT,
  ROUTER_IP,
  when,
} from "./fake-router-fixture.ts";
import { PortMapper } from "./port-mapper.ts";
import type { Uplink } from "./uplinks.ts";

const nothing: HostView = { addresses: [], routes: [] };
const home: Uplink = { gateway: ROUTER_IP, device: "lo", source: ROUTER_IP };

interface Scene {
  readonly router: FakeRouter;
  readonly clock: ManualClock;
  readonly mapper: PortMapper;
  /** What was told so far. */
  readonly told: string[];
  /** The host looks as if these were its uplinks. */
  move(...uplinks: readonly Uplink[]): void;
}

async function openScene(t: TestContext, options: FakeRouterOptions): Promise<Scene> {
  const router = await FakeRouter.open(t, options);
  const clock = new ManualClock();
  const told: string[] = [];
  let uplinks: readonly Uplink[] = [];
  const mapper = new PortMapper({
    udpPort: INTERNAL_PORT,
    clock,
    random: new SeededRandom(1),
    log: pino({ level: "silent" }),
    onMapped: (endpoints) => told.push(endpoints.map(formatEndpoint).join()),
    ports: router.ports,
    uplinksOf: () => uplinks,
  });
  t.after(async () => {
    let isOver = false;
    void mapper.close().finally(() => {
      isOver = true;
    });
    // The router may be gone already.
    await when(() => {
      clock.advance(50);
      return isOver;
    });
  });
  const move = (...next: readonly Uplink[]): void => {
    uplinks = next;
    mapper.hostChanged(nothing);
  };
  return { router, clock, mapper, told, move };
}

const mapped = formatEndpoint({ ...EXTERNAL, port: INTERNAL_PORT });

test("what a router maps is told, and that it is over", async (t) => {
  const { told, move, router } = await openScene(t, { pcp: grantsPcp() });
  move();
  assert.deepEqual(told, [], "nothing is no news");
  move(home);
  await when(() => told.length === 1);
  move();
  assert.deepEqual(told, [mapped, ""]);
  await when(() => router.heardOf(2).length === 2);
  assert.equal(router.heardOf(2)[1]?.readUInt32BE(4), 0, "it was taken back");
});

test("the same uplink goes on; another address of this host, or another router, starts over", async (t) => {
  const { told, move, router } = await openScene(t, { pcp: grantsPcp() });
  move(home);
  await when(() => told.length === 1);
  move(home);
  move({ ...home });
  assert.deepEqual(told, [mapped], "nothing has changed");
  const other = { ...home, source: "127.0.0.9" as Ip };
  move(other);
  await when(() => told.length === 3);
  assert.deepEqual(told, [mapped, "", mapped]);
  const makes = router.heardOf(2).filter((request) => request.readUInt32BE(4) > 0);
  assert.equal(makes.length, 2);
  assert.notEqual(makes[0]?.subarray(24, 36).toString("hex"), makes[1]?.subarray(24, 36).toString("hex"), "a nonce of its own");
});

test("the router of two uplinks reboots, which one of them notices: both ask again", async (t) => {
  let epoch = 100_000;
  // One is renewed long before the other.
  const leases = new Map([["127.0.0.1", 600]]);
  const pcp: Answer = (request) => grantsPcp({ epoch: () => epoch, lifetime: leases.get(sourceOf(request)) ?? 7_200 })(request);
  const scene = await openScene(t, { pcp });
  const second = { ...home, source: "127.0.0.9" as Ip };
  scene.move(home, second);
  await when(() => scene.told.length === 2);
  epoch = 3;
  scene.clock.advance(minutes(5));
  await when(() => scene.mapper.counters()["rebooted"] === 2);
  assert.deepEqual([asksOf(scene.router, "127.0.0.1"), asksOf(scene.router, "127.0.0.9")], [2, 2]);
});

test("closed, it takes back what it has, tells nothing more and asks nobody", async (t) => {
  const { told, move, mapper, router, clock } = await openScene(t, { pcp: grantsPcp() });
  move(home);
  await when(() => told.length === 1);
  await mapper.close();
  await mapper.close();
  move({ ...home, source: "127.0.0.9" as Ip });
  assert.deepEqual(told, [mapped]);
  assert.deepEqual(
    router.heardOf(2).map((request) => request.readUInt32BE(4)),
    [7_200, 0],
  );
  assert.equal(clock.timerCount, 0);
});

test("closed while nobody has answered yet, it is over at once", async (t) => {
  const { move, mapper, router, clock } = await openScene(t, {});
  move(home);
  await when(() => router.heardOf(2).length === 1);
  await mapper.close();
  assert.equal(clock.timerCount, 0);
});

test("an address that changes a thousand times leaves nothing behind: no socket, no timer, and at the end no mapping", async (t) => {
  const alive = new Set<string>();
  const pcp: Answer = (request) => {
    if (request.readUInt32BE(4) > 0) alive.add(sourceOf(request));
    else alive.delete(sourceOf(request));
    return grantsPcp()(request);
  };
  const { move, mapper, clock, told } = await openScene(t, { pcp });
  const socketsBefore = openSockets();
  assert.ok(socketsBefore >= 3, "the router's own are counted");
  for (let n = 0; n < 1_000; n++) {
    move({ ...home, source: `127.0.${1 + (n >> 7)}.${1 + (n & 127)}` as Ip });
    // Some stay until they are granted, others are gone before.
    if (n % 10 === 0) await when(() => told.at(-1) === mapped);
    assert.ok(openSockets() - socketsBefore < 64, `${openSockets()} sockets after ${n} changes`);
  }
  await when(() => told.at(-1) === mapped);
  await mapper.close();
  await when(() => openSockets() === socketsBefore);
  assert.equal(clock.timerCount, 0);
  await when(() => alive.size === 0);
});

test("what came of it is shown: nothing before the router was asked, what it maps, or what it was asked by in vain", async (t) => {
  const granting = await openScene(t, { pcp: grantsPcp() });
  assert.equal(granting.mapper.view(), undefined);
  granting.move(home);
  assert.equal(granting.mapper.view(), undefined, "it has not answered yet");
  await when(() => granting.told.length === 1);
  assert.deepEqual(granting.mapper.view(), { protocol: "pcp", endpoint: mapped });
  const silent = await openScene(t, {});
  silent.move(home);
  for (const times of [1, 2]) {
    await when(() => silent.router.heardOf(2).length === times && silent.router.heardOf(0).length === times);
    silent.clock.advance(250);
  }
  silent.clock.advance(seconds(4));
  await when(() => silent.mapper.view() !== undefined);
  assert.deepEqual([silent.told, silent.mapper.view()], [[], { protocol: "pcp, nat-pmp, upnp" }]);
});

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith("UDP") || name.startsWith("TCP")).length;
}

function sourceOf(request: Buffer): string {
  return request.subarray(20, 24).join(".");
}

function asksOf(router: FakeRouter, source: string): number {
  return router.heardOf(2).filter((request) => sourceOf(request) === source && request.readUInt32BE(4) > 0).length;
}
