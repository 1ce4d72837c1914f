import assert from "node:assert/strict";
import { test } from "node:test";
import { clearSilent, type Liveness, recordHeard, recordSent, recordTraffic, UNHEARD } from "./liveness.ts";
import type { TrafficStamps } from "./session-event.ts";

function traffic(liveness: Liveness, stamps: Partial<TrafficStamps>, jitter = 0): Liveness {
  const none = { dataSentAt: 0, dataReceivedAt: 0, authenticatedSentAt: 0, authenticatedReceivedAt: 0, sendCounter: 0 };
  return recordTraffic(liveness, { ...none, ...stamps }, () => jitter);
}

test("silence counts from the first data sent, and ends with anything heard", () => {
  const first = traffic(UNHEARD, { dataSentAt: 1_000, authenticatedSentAt: 1_000 });
  assert.equal(first.silentAt, 16_000);
  assert.equal(traffic(UNHEARD, { dataSentAt: 1_000 }, 300).silentAt, 16_300);
  assert.equal(traffic(first, { dataSentAt: 2_000 }, 300).silentAt, 16_000, "drawn once");
  const later = traffic(first, { dataSentAt: 9_000, authenticatedSentAt: 9_000 });
  assert.equal(later.silentAt, 16_000);
  assert.equal(traffic(later, { dataSentAt: 9_000, authenticatedReceivedAt: 9_000 }).silentAt, undefined);
  assert.equal(traffic(later, { dataSentAt: 9_001, authenticatedReceivedAt: 9_000 }).silentAt, 24_001);
  assert.equal(recordHeard(later, 10_000).silentAt, undefined);
  assert.equal(clearSilent(later).silentAt, undefined);
});

test("a keepalive is due 10 s after the first data received, unless anything is sent", () => {
  const first = traffic(UNHEARD, { dataReceivedAt: 1_000, authenticatedReceivedAt: 1_000 });
  assert.equal(first.keepaliveAt, 11_000);
  assert.equal(traffic(first, { dataReceivedAt: 8_000 }).keepaliveAt, 11_000);
  assert.equal(recordSent(first, 2_000).keepaliveAt, undefined);
  assert.equal(traffic(recordSent(first, 11_000), { dataReceivedAt: 8_000 }).keepaliveAt, undefined);
});

test("keepalives start no timer: what is authentic is not always data", () => {
  const liveness = traffic(UNHEARD, { authenticatedSentAt: 1_000, authenticatedReceivedAt: 2_000 });
  assert.deepEqual(liveness, { heardAt: 2_000, sentAt: 1_000 });
});

test("stamps that are older than what is known change nothing", () => {
  const known: Liveness = { heardAt: 5_000, sentAt: 5_000 };
  assert.deepEqual(
    traffic(known, { dataSentAt: 4_000, dataReceivedAt: 4_000, authenticatedSentAt: 4_000, authenticatedReceivedAt: 4_000 }),
    known,
  );
});
