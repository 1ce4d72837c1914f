import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { type Candidate, direct, MAX_ENDPOINTS_TRIED } from "./candidate.ts";
import { at, BY_R, direct1, PathRun, R, relayedByR, T, X } from "./path-run-fixture.ts";
import { NEW_PATH } from "./path-state.ts";

const shim = (port: number): Endpoint => ({ ip: "127.0.0.1" as Ip, port });
const TCP: Candidate = direct(shim(7_000));
const byTcp = { ...direct1, path: { candidate: TCP, rtt: 30, measuredAt: T } };

for (const name of ["dormant", "failed", "probing"] as const) {
  test(`a connection opens while the path is ${name}: it is asked at once, and answers`, () => {
    const run = new PathRun({ ...NEW_PATH, endpoints: [at(1)], isReachable: true });
    if (name !== "dormant") run.step({ type: "wanted" }, T);
    if (name === "failed") run.until(T + 3_000);
    assert.equal(run.peer.state.name, name);
    run.answers = (to) => to.type === "direct" && to.endpoint.port === 7_000;
    run.step({ type: "heard", from: TCP }, run.now);
    assert.equal(run.peer.state.name, "direct");
    assert.ok(run.take().some((effect) => effect.endsWith("use 127.0.0.1")));
  });
}

test("a connection made anew takes the place of the one before", () => {
  const run = new PathRun({ ...NEW_PATH, endpoints: [at(1), shim(7_000)] });
  run.step({ type: "heard", from: direct(shim(7_001)) }, T);
  assert.deepEqual(run.peer.endpoints, [at(1), shim(7_001)]);
});

test("what the peer says of where it is takes it not away, however much it says", () => {
  const many = Array.from({ length: 40 }, (_, i) => at(i + 1));
  for (const said of [
    { type: "published", own: [], reflexive: many, isReachable: true, isKept: false },
    { type: "offered", from: X, own: [], reflexive: many, isAnswer: true },
  ] as const) {
    const run = new PathRun({ ...NEW_PATH, endpoints: [at(99), shim(7_000)] });
    run.step(said, T);
    assert.equal(run.peer.endpoints.length, MAX_ENDPOINTS_TRIED);
    assert.ok(run.peer.endpoints.some(({ port }) => port === 7_000));
  }
});

test("UDP answers while TCP is in use: straight at once; TCP that answers moves nothing", () => {
  const run = new PathRun({ ...NEW_PATH, state: byTcp });
  run.step({ type: "answered", candidate: X, rtt: 500 }, T + 10);
  assert.deepEqual(run.peer.state.name === "direct" && run.peer.state.path.candidate, X);
  run.step({ type: "answered", candidate: TCP, rtt: 1 }, T + 20);
  assert.deepEqual(run.peer.state.name === "direct" && run.peer.state.path.candidate, X);
});

test("a relay that only TCP reaches is left for one that UDP reaches", () => {
  const run = new PathRun({ ...NEW_PATH, relays: [R], state: relayedByR });
  const other = "s".repeat(64) as typeof R;
  run.step({ type: "relays", relays: [other, R], byTcp: [R], isRelayable: true }, T + 10);
  run.step({ type: "answered", candidate: { type: "relay", relay: other }, rtt: 500 }, T + 20);
  assert.deepEqual(run.peer.state.name === "relayed" && run.peer.state.path.candidate, { type: "relay", relay: other });
  run.step({ type: "answered", candidate: BY_R, rtt: 1 }, T + 30);
  assert.deepEqual(run.peer.state.name === "relayed" && run.peer.state.path.candidate, { type: "relay", relay: other });
});
