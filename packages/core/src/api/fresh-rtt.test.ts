import assert from "node:assert/strict";
import { test } from "node:test";
import { freshRtt } from "./fresh-rtt.ts";
import { alivePeer } from "./status-fixture.ts";

test("a round trip is shown for 30 s after it was measured, or where that is not known, after the peer was heard", () => {
  const at = (more: object): number | undefined => freshRtt(alivePeer(2, { rttMs: 4, ...more }), 100_000);
  assert.equal(at({ rttAt: 70_000 }), 4);
  assert.equal(at({ rttAt: 69_999 }), undefined);
  assert.equal(at({ rttAt: 69_999, heardAt: 99_999 }), undefined);
  assert.equal(at({ heardAt: 70_000 }), 4);
  assert.equal(at({ heardAt: 69_999 }), undefined);
  assert.equal(at({}), undefined);
  assert.equal(freshRtt(alivePeer(2, { rttAt: 100_000 }), 100_000), undefined);
});
