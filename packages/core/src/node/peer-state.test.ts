import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import type { PathState } from "../path/path-monitor.ts";
import { isUnheardInTunnel, pathText, peerState } from "./peer-state.ts";

const endpoint: Endpoint = { ip: "2001:db8::1" as Ip, port: 5_000 };
const path = { endpoint, rtt: 5, measuredAt: 0 };
const NOW = 10_000_000;

// State of the path, what peerState says with and without a control link, what pathText says with one address and with none.
const rows: Readonly<Record<string, readonly [state: PathState, linked: string, notLinked: string, withAddress: string, without: string]>> =
  {
    dormant: [{ name: "dormant" }, "alive", "unknown", "not tried yet", "no address known yet"],
    "probing at first": [
      { name: "probing", sinceAt: 0, round: 0, failures: 0, failedAt: undefined },
      "alive",
      "unknown",
      "trying 1 address",
      "no address known yet",
    ],
    "probing again": [
      { name: "probing", sinceAt: 0, round: 0, failures: 2, failedAt: NOW - 90_000 },
      "suspect",
      "failed",
      "no answer for 1 m",
      "no address known",
    ],
    direct: [
      { name: "direct", path, heardAt: 0, activeAt: 0, unansweredAt: undefined, asked: 0, askedAt: 0 },
      "alive",
      "alive",
      "direct [2001:db8::1]:5000",
      "direct [2001:db8::1]:5000",
    ],
    suspect: [
      { name: "suspect", path, heardAt: 0, sinceAt: NOW - 2_400, round: 0 },
      "suspect",
      "suspect",
      "no answer for 2 s, last direct [2001:db8::1]:5000",
      "no answer for 2 s, last direct [2001:db8::1]:5000",
    ],
    failed: [
      { name: "failed", failedAt: NOW - 7_200_000, triedAt: 0, retryAt: 0, failures: 1 },
      "suspect",
      "failed",
      "no answer for 2 h",
      "no address known",
    ],
    stopped: [{ name: "stopped" }, "left", "left", "stopped", "stopped"],
  };
for (const [what, [state, linked, notLinked, withAddress, without]] of Object.entries(rows)) {
  test(`${what}: ${linked} with a control link, else ${notLinked}; ${withAddress}`, () => {
    assert.equal(peerState({ state, candidates: [] }, true), linked);
    assert.equal(peerState({ state, candidates: [] }, false), notLinked);
    assert.equal(pathText({ state, candidates: [endpoint] }, NOW), withAddress);
    assert.equal(pathText({ state, candidates: [] }, NOW), without);
  });
}

test("two addresses are addresses; a silence is told in its largest unit, at least one second", () => {
  assert.equal(
    pathText({ state: { name: "probing", sinceAt: 0, round: 0, failures: 0, failedAt: undefined }, candidates: [endpoint, endpoint] }, NOW),
    "trying 2 addresses",
  );
  const ages = [0, 999, 1_000, 59_999, 60_000, 86_400_000 * 3].map((span) =>
    pathText({ state: { name: "failed", failedAt: -span, triedAt: 0, retryAt: 0, failures: 1 }, candidates: [endpoint] }, 0),
  );
  assert.deepEqual(
    ages.map((text) => text.replace("no answer for ", "")),
    ["1 s", "1 s", "1 s", "59 s", "1 m", "3 d"],
  );
});

test("packets that go unanswered for longer than a keepalive takes are told, while probes are answered", () => {
  const state: PathState = { name: "direct", path, heardAt: NOW, activeAt: NOW, unansweredAt: undefined, asked: 0, askedAt: 0 };
  const direct = { path: { state, candidates: [] } };
  assert.equal(isUnheardInTunnel({ ...direct, unansweredAt: NOW - 13_001 }, NOW), true);
  assert.equal(isUnheardInTunnel({ ...direct, unansweredAt: NOW - 13_000 }, NOW), false);
  assert.equal(isUnheardInTunnel({ ...direct, unansweredAt: undefined }, NOW), false);
  const dormant: PathState = { name: "dormant" };
  assert.equal(
    isUnheardInTunnel({ path: { state: dormant, candidates: [] }, unansweredAt: 1 }, NOW),
    false,
    "the path is what is told then",
  );
  assert.equal(isUnheardInTunnel(undefined, NOW), false);
});
