import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePathsOptions, SCENARIOS, wireOf } from "./options.ts";

test("scenarios and the number of runs in any order; without a name all", () => {
  assert.deepEqual(parsePathsOptions([]).scenarios, SCENARIOS);
  const { scenarios, runs, loss, jitter } = parsePathsOptions(["easy", "3", "roam", "--loss", "5", "--jitter", "40"]);
  assert.deepEqual({ scenarios, runs, loss, jitter }, { scenarios: ["easy", "roam"], runs: 3, loss: 0.05, jitter: 40 });
  assert.equal(parsePathsOptions(["tcp", "--tcp-relay", "443"]).tcpRelay, 443);
});

test("what makes no sense is refused", () => {
  for (const args of [["eassy"], ["easy", "1", "2"], ["0"], ["--loss", "x"], ["--loss", "-1"], ["--delay", ""], ["--tcp-relay", "0"]]) {
    assert.throws(() => parsePathsOptions(args), args.join(" "));
  }
});

test("two wires in a row do what was asked for between two hosts", () => {
  const { delayMs = 0, jitterMs = 0, loss = 0 } = wireOf({ delay: 10, jitter: 40, loss: 0.05 });
  assert.deepEqual([delayMs, jitterMs], [5, 20]);
  assert.ok(Math.abs(1 - (1 - loss) ** 2 - 0.05) < 1e-12);
});
