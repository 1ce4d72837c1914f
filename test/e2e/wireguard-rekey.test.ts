import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { INNER, otherEnd, pairRefusal, withPair } from "./wireguard/pair.ts";
import { allInOrder, ping } from "./wireguard/ping.ts";

/** A session with a stock WireGuard peer is replaced after its time: two minutes of waiting, and little else. */
const skip: string | false = pairRefusal(["nft"]);

/** Past REKEY_AFTER_TIME of 120 s. */
const REKEY_PINGS = { count: 1_300, interval: 0.1 };

describe("with a stock WireGuard peer, for long", { skip, concurrency: 2 }, () => {
  for (const initiator of ["ours", "stock"] as const) {
    test(`our side is the ${initiator === "ours" ? "initiator" : "responder"}: replaced after 120 s, and no packet of either side is lost`, async (t) => {
      await withPair(t, { knowing: [initiator] }, async (pair) => {
        assert.deepEqual(await ping(pair[initiator].host, INNER[otherEnd(initiator)].v4), [1]);
        const answers = await Promise.all([
          ping(pair.ours.host, INNER.stock.v4, REKEY_PINGS),
          ping(pair.stock.host, INNER.ours.v4, REKEY_PINGS),
        ]);
        assert.deepEqual(answers, [allInOrder(REKEY_PINGS.count), allInOrder(REKEY_PINGS.count)]);
        const role = initiator === "ours" ? "initiator" : "responder";
        assert.deepEqual(await pair.ours.roles(), [role, role], "one session and the one that replaced it");
        assert.deepEqual(await pair.ours.drops(), []);
        const { counters } = await pair.ours.report();
        assert.deepEqual(Object.fromEntries(Object.entries(counters).filter(([, count]) => count > 0)), {});
      });
    });
  }
});
