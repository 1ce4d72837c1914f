import assert from "node:assert/strict";
import type { NatName, SimMesh, SimNode } from "@mesh/core/testing";
import { untilEqualRecords } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

type Ip = SimNode["ip"];

const QUALITY = { latency: 10, jitter: 1, loss: 0, duplication: 0 };
const LOSSY = { latency: 10, jitter: 40, loss: 0.05, duplication: 0 };
/** A quarter of a second until the engine's stamps are read, a second of silence, two PINGs, and a relay's answer. */
const BACK_WITHIN = 1_650;
/** What is lost is asked again. */
const BACK_WITHIN_LOSSY = 3_000;
const CONVERGED_WITHIN = 70_000;
const SEND_EVERY = 50;

const PAIRS: readonly (readonly [NatName, NatName])[] = [
  ["masq", "masq"],
  ["eimr-eif", "eimr-apdf"],
  ["sym-seq", "eimr-adf"],
];

for (const [moving, staying] of PAIRS) {
  const what = `a ${moving} gets another address and tells nobody: packets between its host and one behind ${staying}`;
  runSeeds(`${what} go on`, 5, ({ open, seed }) => {
    assert.ok(longestGap(open(QUALITY), { moving, staying, seed }) <= BACK_WITHIN);
  });
  runSeeds(`${what} go on where one in 20 is lost`, 5, ({ open, seed }) => {
    assert.ok(longestGap(open(LOSSY), { moving, staying, seed }) <= BACK_WITHIN_LOSSY);
  });
}

/** Of both directions, in milliseconds, from the change on. Homes were idle for a time of every length. */
function longestGap(mesh: SimMesh, run: { readonly moving: NatName; readonly staying: NatName; readonly seed: number }): number {
  const siteOf = (name: string, kind: NatName, ip: string) => mesh.network.addSite(name, { kind, publicIps: [ip as Ip] });
  const founder = mesh.found("founder");
  mesh.join("other", founder);
  const home = siteOf("home", run.moving, "203.0.113.1");
  const a = mesh.join("a", founder, { site: home });
  const b = mesh.join("b", founder, { site: siteOf("office", run.staying, "203.0.113.2") });
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  mesh.clock.advance(60_000 + 5_000 * run.seed);
  talk(mesh, [a, b], 20_000);
  mesh.network.renumberSite(home, "203.0.113.77" as Ip);
  return talk(mesh, [a, b], 20_000);
}

/** Both send all the time. Returns the longest time for which one of them received nothing. */
function talk(mesh: SimMesh, [a, b]: readonly [SimNode, SimNode], duration: number): number {
  const begin = mesh.clock.now();
  const ends = [a, b].map((node) => ({ node, count: node.received.length, at: begin, gap: 0 }));
  while (mesh.clock.now() < begin + duration) {
    a.send(b);
    b.send(a);
    mesh.clock.advance(SEND_EVERY);
    const now = mesh.clock.now();
    for (const end of ends) {
      end.gap = Math.max(end.gap, now - end.at);
      if (end.node.received.length > end.count) end.at = now;
      end.count = end.node.received.length;
    }
  }
  return Math.max(...ends.map(({ gap }) => gap));
}
