/** A simulation whose third seed always fails: run by run-seeds.test.ts, never by the suite. */
import assert from "node:assert/strict";
import { untilAllReach } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

runSeeds("a link (cut) in 'one' place", 30, ({ seed, open }) => {
  const mesh = open();
  const a = mesh.found("a");
  const b = mesh.join("b", a);
  mesh.clock.advance(5_000);
  if (seed === 3) {
    mesh.network.cut("a", "b");
    assert.throws(() => untilAllReach(mesh, [[a, b]], 2_000), /not reached/);
    assert.fail("the wire is cut");
  }
});
