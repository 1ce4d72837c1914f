import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MessageStream } from "@libp2p/interface";
import type { ControlEvent } from "@mesh/core/ports";
import { REPORT_AFTER, Refusals } from "./refusals.ts";
import { SettlingClock } from "./settling-clock-fixture.ts";

function scene(): { readonly refusals: Refusals; readonly clock: SettlingClock; readonly reported: ControlEvent[] } {
  const clock = new SettlingClock();
  const reported: ControlEvent[] = [];
  return { refusals: new Refusals(clock, (refused) => reported.push(refused)), clock, reported };
}

/** The object itself is all that counts. */
const connection = (): MessageStream => ({}) as MessageStream;

function named(name: string): Error {
  return Object.assign(new Error("refused"), { name });
}

describe("refusals", () => {
  it("are reported together, one of each cause in 100 ms", async () => {
    const { refusals, clock, reported } = scene();
    for (let i = 0; i < 10_000; i++) refusals.count(i % 4 === 0 ? "join-limit" : "connection-limit");
    assert.deepEqual([reported, clock.pending], [[], 1]);
    await clock.advance(REPORT_AFTER);
    assert.deepEqual(reported, [
      { type: "refused", cause: "join-limit", count: 2_500 },
      { type: "refused", cause: "connection-limit", count: 7_500 },
    ]);
    refusals.count("sync-fault");
    await clock.advance(REPORT_AFTER - 1);
    assert.equal(reported.length, 2);
    await clock.advance(1);
    assert.deepEqual(reported[2], { type: "refused", cause: "sync-fault", count: 1 });
    assert.equal(clock.pending, 0);
  });

  it("have the cause that was told last, or else the one of libp2p's error", async () => {
    const { refusals, clock, reported } = scene();
    const [stranger, joiner, other] = [connection(), connection(), connection()];
    refusals.blame(stranger, "join-failed");
    refusals.blame(stranger, "join-limit");
    refusals.failed(stranger, named("EncryptionFailedError"));
    refusals.blame(joiner, "none");
    refusals.failed(joiner, named("EncryptionFailedError"));
    for (const name of ["EncryptionFailedError", "ConnectionDeniedError", "ConnectionInterceptedError"])
      refusals.failed(other, named(name));
    await clock.advance(REPORT_AFTER);
    assert.deepEqual(
      reported.map((event) => event.type === "refused" && event.cause),
      ["join-limit", "handshake-failed", "connection-limit", "not-a-member"],
    );
  });

  it("are not reported after close", async () => {
    const { refusals, clock, reported } = scene();
    refusals.count("join-limit");
    refusals.close();
    refusals.count("join-limit");
    assert.equal(clock.pending, 0);
    await clock.advance(REPORT_AFTER);
    assert.deepEqual(reported, []);
  });
});
