import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTable, isMet, type Sample, summarize } from "./results.ts";
import { metricsFor } from "./targets.ts";

test("ranks; what never came is longer than anything", () => {
  assert.deepEqual(summarize([3, 1, 2, 4]), { runs: 4, p50: 2, p95: 4, max: 4, never: 0 });
  const twenty = Array.from({ length: 20 }, (_, n) => n + 1);
  assert.deepEqual(summarize(twenty), { runs: 20, p50: 10, p95: 19, max: 20, never: 0 });
  assert.deepEqual(summarize([5, undefined]), { runs: 2, p50: 5, p95: Number.POSITIVE_INFINITY, max: Number.POSITIVE_INFINITY, never: 1 });
  assert.equal(summarize([]), undefined);
});

test("a target is met by its median and its 95th part", () => {
  const metric = { what: "", unit: "ms", p50: 10, p95: 20 } as const;
  const summary = { runs: 2, max: 30, never: 0 };
  assert.equal(isMet(metric, { ...summary, p50: 10, p95: 20 }), true);
  assert.equal(isMet(metric, { ...summary, p50: 11, p95: 20 }), false);
  assert.equal(isMet(metric, { ...summary, p50: 10, p95: 21 }), false);
  assert.equal(isMet({ what: "", unit: "ms" }, { ...summary, p50: 10, p95: 20 }), undefined);
});

test("a row for each metric that was measured", () => {
  const samples: readonly Sample[] = [
    { metric: "easy.lost", value: 0 },
    { metric: "easy.first", value: 61.25 },
    { metric: "easy.first", value: undefined },
    { metric: "resume.direct", value: 900.4 },
  ];
  const [, , ...rows] = formatTable(metricsFor({ loss: 0 }), samples);
  assert.deepEqual(rows, [
    "| first packet, by a relay whose binding is warm | ms | 60 / 150 | 61 | never | never | 2, 1 never | not met |",
    "| relay → direct: lost | datagrams | 0 / 0 | 0 | 0 | 0 | 1 | met |",
    "| resume: direct | ms | – | 900 | 900 | 900 | 1 |  |",
  ]);
});

test("easy pairs have the target of the loss, and nothing is asked of what a wire loses", () => {
  const [none, some, much, more] = [0, 0.05, 0.2, 0.5].map((loss) => metricsFor({ loss }));
  assert.deepEqual(
    [none, some, much, more].map((metrics) => metrics?.["easy.direct"].p50),
    [200, 700, 1_000, undefined],
  );
  assert.equal(none?.["easy.lost"].p50, 0);
  assert.equal(some?.["easy.lost"].p50, undefined);
});
