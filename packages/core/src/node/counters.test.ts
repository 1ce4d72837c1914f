import assert from "node:assert/strict";
import { test } from "node:test";
import { Counters } from "./counters.ts";

test("what is counted is seen in order of name; what never happened is not", () => {
  const counters = new Counters();
  assert.deepEqual(counters.view(), {});
  counters.count("udp.b");
  counters.count("udp.a", 3);
  counters.count("udp.b");
  assert.deepEqual(Object.entries(counters.view()), [
    ["udp.a", 3],
    ["udp.b", 2],
  ]);
});
