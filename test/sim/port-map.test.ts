import assert from "node:assert/strict";
import { type Endpoint, formatEndpoint, parseEndpoint } from "@mesh/core/ports";
import type { SimMesh, SimNode } from "@mesh/core/testing";
import { RecordOpener } from "../../packages/core/src/records/record.ts";
import { recordsOf, untilEqualRecords } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

const CONVERGED_WITHIN = 70_000;
const at = (text: string): Endpoint => parseEndpoint(text) ?? assert.fail(text);

/** Where others should knock at a node, as it is told to this one: what a NAT lets through. */
function reflexiveOf(mesh: SimMesh, from: SimNode, of: SimNode): readonly string[] {
  const opener = new RecordOpener(mesh.crypto);
  for (const bytes of recordsOf(from)) {
    const record = opener.open(bytes);
    if (!record.ok || record.value.content.type !== "endpoint" || record.value.content.endpoint.node !== of.id) continue;
    return record.value.content.endpoint.reflexive.map(formatEndpoint);
  }
  return [];
}

runSeeds("what a router maps is told to all, shown, and taken back", 3, ({ open }) => {
  const mesh = open();
  const home = mesh.network.addSite("home", { kind: "sym-rand", publicIps: [at("198.51.100.1:1").ip] });
  const founder = mesh.found("founder");
  const a = mesh.join("a", founder, { site: home });
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  const told = (): string => reflexiveOf(mesh, founder, a).join();
  const before = told();
  assert.equal(a.status().self.mapped, undefined);

  a.dispatch({ type: "port-mapped", endpoints: [at("203.0.113.9:40000"), at("203.0.113.9:53")] });
  assert.ok(
    mesh.clock.advanceUntil(30_000, () => told().includes("203.0.113.9:40000"), 100),
    told(),
  );
  assert.equal(reflexiveOf(mesh, founder, a)[0], "203.0.113.9:40000", "before what was observed");
  if (before !== "") assert.ok(told().includes(before), "which stands there as it did");
  assert.ok(!told().includes(":53"), "a port that nobody would try is not told");
  assert.deepEqual(a.status().self.mapped, ["203.0.113.9:40000", "203.0.113.9:53"]);

  const effects = a.effects.length;
  a.dispatch({ type: "port-mapped", endpoints: [] });
  assert.ok(
    a.effects.slice(effects).some(({ type }) => type === "send-datagram"),
    "peers are asked by which way they still come in",
  );
  assert.ok(
    mesh.clock.advanceUntil(30_000, () => !told().includes("203.0.113.9"), 100),
    told(),
  );
  assert.equal(a.status().self.mapped, undefined);
  assert.equal(before.includes("203.0.113.9"), false);

  a.dispatch({ type: "port-mapped", endpoints: [at("203.0.113.9:40000")] });
  a.dispatch({ type: "stopping", isWanted: true });
  const farewell = a.effects.length;
  a.dispatch({ type: "port-mapped", endpoints: [] });
  assert.ok(
    !a.effects.slice(farewell).some(({ type }) => type === "send-datagram"),
    "who hears from it after its goodbye would take it for alive",
  );
});
