import assert from "node:assert/strict";
import { test } from "node:test";
import { at } from "../node/peers-fixture.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { endpointOf, MAX_KNOCKS, meetingPoint, onePort, planOf, portsOf } from "./port-plan.ts";

const IP = "203.0.113.5";
const planFor = (...ports: readonly number[]): ReturnType<typeof planOf> => planOf(ports.map((port) => at(IP, port)));

test("ports in a row: the next ones, by their step, up to the last port there is", () => {
  assert.deepEqual(planFor(30_000, 30_001, 30_002, 30_003), { kind: "sequence", ip: IP, first: 30_004, delta: 1, count: 96 });
  assert.deepEqual(planFor(30_000, 30_004, 30_006, 30_008), { kind: "sequence", ip: IP, first: 30_010, delta: 2, count: 96 });
  assert.deepEqual(planFor(65_500, 65_510, 65_520, 65_530), { kind: "range", ip: IP, first: 64_507, delta: 1, count: 1_029 });
  assert.equal(planFor(65_520, 65_521, 65_522, 65_523)?.count, 12);
});

test("ports close together: a block around them; anywhere: every port that Linux gives", () => {
  assert.deepEqual(planFor(20_500, 21_200, 20_700, 20_600), { kind: "range", ip: IP, first: 20_177, delta: 1, count: 1_347 });
  assert.deepEqual(planFor(20_500, 61_200, 1_700, 40_600), { kind: "range", ip: IP, first: 1_024, delta: 1, count: 64_512 });
});

test("too few samples, or several addresses, are no plan; one lost sample is", () => {
  assert.equal(planFor(), undefined);
  assert.equal(planFor(30_000, 30_001), undefined);
  assert.equal(planOf([at(IP, 1_000), at(IP, 1_001), at(IP, 1_002), at("203.0.113.6", 1_003)]), undefined);
  assert.equal(planFor(30_000, 30_001, 30_002)?.kind, "sequence");
});

test("by chance every port once, within the plan and the bound; a row in its order, six times", () => {
  const range = planFor(20_500, 61_200, 1_700, 40_600) ?? assert.fail();
  const ports = portsOf(range, new SeededRandom(1));
  assert.deepEqual([ports.length, new Set(ports).size], [MAX_KNOCKS, MAX_KNOCKS]);
  assert.ok(ports.every((port) => port >= 1_024 && port <= 65_535));
  const row = portsOf(planFor(30_000, 30_001, 30_002, 30_003) ?? assert.fail(), new SeededRandom(1));
  assert.deepEqual([row.length, row[0], row[95], row[96]], [576, 30_004, 30_099, 30_004]);
});

test("two rows meet 40 steps on, if they go so far; one port is one endpoint", () => {
  assert.deepEqual(meetingPoint(planFor(30_000, 30_002, 30_004, 30_006) ?? assert.fail()), at(IP, 30_088));
  assert.equal(meetingPoint(planFor(65_520, 65_521, 65_522, 65_523) ?? assert.fail()), undefined);
  assert.equal(meetingPoint(planFor(20_500, 61_200, 1_700, 40_600) ?? assert.fail()), undefined);
  assert.deepEqual(endpointOf(onePort(at(IP, 7_000))), at(IP, 7_000));
});
