import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Places } from "./places.ts";
import { settled } from "./settling-clock-fixture.ts";

describe("places", () => {
  it("are as many as they are, also after failures, and are taken in order", async () => {
    const places = new Places(2);
    const ends: ((fails: boolean) => void)[] = [];
    const started: number[] = [];
    const outcomes = Array.from({ length: 5 }, (_, i) =>
      places
        .run(() => {
          started.push(i);
          return new Promise<number>((resolve, reject) => ends.push((fails) => (fails ? reject(new Error("no")) : resolve(i))));
        })
        .catch(() => -1),
    );
    await settled();
    assert.deepEqual(started, [0, 1]);
    ends[1]?.(true);
    await settled();
    assert.deepEqual(started, [0, 1, 2]);
    for (let i = 0; i < ends.length; i++) {
      ends[i]?.(false);
      await settled();
    }
    assert.deepEqual(await Promise.all(outcomes), [0, -1, 2, 3, 4]);
    assert.deepEqual(started, [0, 1, 2, 3, 4]);
    const again = [places.run(async () => "a"), places.run(async () => "b")];
    assert.deepEqual(await Promise.all(again), ["a", "b"]);
  });
});
