import assert from "node:assert/strict";
import { test } from "node:test";
import { netcheckShape } from "./netcheck-view.ts";
import { whyShape } from "./why-view.ts";
import { netcheck, why } from "./why-view-fixture.ts";

for (const [name, shape, view] of [
  ["why", whyShape, why],
  ["netcheck", netcheckShape, netcheck],
] as const) {
  test(`${name}: it comes back from its JSON, and what a newer agent adds is left out`, () => {
    assert.deepEqual(shape(JSON.parse(JSON.stringify(view)), ""), view);
    assert.deepEqual(shape({ ...view, more: 1 }, ""), view);
  });

  test(`${name}: every key it needs is missed when it is not there, and another version is refused`, () => {
    const optional = ["there", "portMapping", "hairpin"];
    for (const key of Object.keys(view))
      if (!optional.includes(key)) assert.throws(() => shape({ ...view, [key]: undefined }, ""), new RegExp(key));
    assert.throws(() => shape({ ...view, version: 2 }, ""), /version must be 1/);
  });
}

test("fates, origins and kinds of NAT are the ones that are known", () => {
  const [first] = why.candidates;
  assert.throws(() => whyShape({ ...why, candidates: [{ ...first, fate: "lost" }] }, ""), /candidates\[0\]\.fate/);
  assert.throws(() => whyShape({ ...why, candidates: [{ ...first, origin: "guess" }] }, ""), /candidates\[0\]\.origin/);
  assert.throws(() => whyShape({ ...why, here: { ...why.here, mapping: "symmetric" } }, ""), /here\.mapping/);
  assert.throws(() => netcheckShape({ ...netcheck, mapping: "symmetric" }, ""), /mapping must be one of/);
});
