import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "../address/ip.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { type Candidate, direct, relayed } from "../path/candidate.ts";
import { CandidateLog, isAnswering, MAX_CANDIDATES_KEPT } from "./candidate-log.ts";

const relay = relayed(idOf("relay"));

function endpoint(port: number): Candidate {
  return direct({ ip: "198.51.100.2" as Ip, port });
}

test("of each candidate it is kept when it was asked, answered and heard last, and how long the last answer took", () => {
  const log = new CandidateLog();
  log.asked(endpoint(1), 10);
  log.note({ type: "answered", candidate: endpoint(1), rtt: 4 }, 14);
  log.asked(endpoint(1), 20);
  log.note({ type: "heard", from: relay }, 21);
  assert.deepEqual(log.of(endpoint(1)), { candidate: endpoint(1), askedAt: 20, answeredAt: 14, rtt: 4, heardAt: undefined });
  assert.deepEqual(log.of(relay), { candidate: relay, askedAt: undefined, answeredAt: undefined, rtt: undefined, heardAt: 21 });
  assert.equal(log.of(endpoint(2)), undefined);
  assert.equal(log.all().length, 2);
});

test("what else happens to a path is no candidate's matter", () => {
  const log = new CandidateLog();
  log.note({ type: "timer" }, 1);
  log.note({ type: "wanted" }, 1);
  log.note({ type: "offered", from: relay, own: [], reflexive: [{ ip: "198.51.100.2" as Ip, port: 1 }], isAnswer: false }, 1);
  assert.deepEqual(log.all(), []);
});

test("it answers when its answer is no older than the last question", () => {
  const facts = { candidate: relay, rtt: 1, heardAt: undefined };
  assert.equal(isAnswering({ ...facts, askedAt: 5, answeredAt: 5 }), true);
  assert.equal(isAnswering({ ...facts, askedAt: 6, answeredAt: 5 }), false);
  assert.equal(isAnswering({ ...facts, askedAt: undefined, answeredAt: 5 }), true);
  assert.equal(isAnswering({ ...facts, askedAt: 6, answeredAt: undefined }), false);
});

test("a peer that is heard from everywhere makes us remember 23 places, the latest; one in use is among them", () => {
  const log = new CandidateLog();
  for (let port = 1; port <= 5_000; port++) {
    log.asked(relay, port);
    log.note({ type: "heard", from: endpoint(port) }, port);
  }
  assert.equal(MAX_CANDIDATES_KEPT, 23);
  assert.equal(log.all().length, MAX_CANDIDATES_KEPT);
  assert.equal(log.of(relay)?.askedAt, 5_000);
  assert.equal(log.of(endpoint(4_000)), undefined);
});
