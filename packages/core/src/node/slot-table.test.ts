import assert from "node:assert/strict";
import { test } from "node:test";
import { idOf } from "../membership/sample-network-fixture.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { SlotTable } from "./slot-table.ts";

test("a node keeps its slot; released ones are taken again, the lowest first; when all are taken there is none", () => {
  const [a, b, c, d] = [idOf("a"), idOf("b"), idOf("c"), idOf("d")];
  const table = new SlotTable(3);
  assert.deepEqual(
    [a, b, c, d, b].map((node) => table.take(node)),
    [0, 1, 2, undefined, 1],
  );
  table.release(a);
  table.release(c);
  table.release(c);
  assert.deepEqual([table.slotOf(a), table.slotOf(b), table.take(d), table.take(a)], [undefined, 1, 0, 2]);
  assert.equal(new SlotTable(0).take(a), undefined);
});

test("seed 1: never two nodes in one slot, never a slot beyond the limit", () => {
  const random = new SeededRandom(1);
  const table = new SlotTable(5);
  const nodes = Array.from({ length: 8 }, (_, i) => idOf(`node ${i}`));
  for (let run = 0; run < 2_000; run++) {
    const node = random.pick(nodes) ?? assert.fail();
    if (random.below(2) === 0) table.release(node);
    else table.take(node);
    const slots = nodes.map((other) => table.slotOf(other)).filter((slot) => slot !== undefined);
    assert.equal(new Set(slots).size, slots.length);
    assert.ok(slots.every((slot) => slot < 5));
  }
});
