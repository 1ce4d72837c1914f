import assert from "node:assert/strict";
import type { SimMesh, SimNode } from "@mesh/core/testing";
import { countOf, untilEqualRecords } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

type Ip = SimNode["ip"];

const CLEAN = { latency: 20, jitter: 5, loss: 0, duplication: 0 };
const CONVERGED_WITHIN = 70_000;
/** Each end: 13 s until it says that it hears nothing (node/peer-state.ts), stamps that are read four times a second, and a relay that is asked. */
const NOTICED_WITHIN = 34_000;
/** Four initiations of one handshake, 5 s apart and a little more each; the peer answers by its own relay, which may be the same. */
const HANDSHAKE_WITHIN = 18_000;
const RELAYED_KIND = 0x23;
const HEADER_BYTES = 12;
const PROBE_KIND = 0x21;

runSeeds("a relay begins to drop packets and goes on to pass probes: another one carries them", 5, ({ open }) => {
  const { mesh, relays, a, b } = meshOf(open(CLEAN));
  talk(mesh, [a, b], 5_000);
  const evil = relays.find(({ name }) => name === a.status().peers.find(({ id }) => id === b.id)?.relay);
  assert.ok(evil !== undefined);
  dropPackets(mesh, evil);
  talk(mesh, [a, b], NOTICED_WITHIN);
  const before = [a, b].map(({ received }) => received.length);
  talk(mesh, [a, b], 60_000);
  assert.deepEqual(
    [a, b].map(({ received }, i) => received.length - (before[i] ?? 0)),
    [600, 600],
  );
  assert.ok(countOf(a, "path.relayDrops") + countOf(b, "path.relayDrops") > 0);
});

runSeeds("a relay that never passed anything but probes: the handshake goes by another one", 5, ({ open }) => {
  const { mesh, relays, a, b } = meshOf(open(CLEAN));
  const [evil] = relays;
  assert.ok(evil !== undefined);
  dropPackets(mesh, evil);
  talk(mesh, [a, b], HANDSHAKE_WITHIN + NOTICED_WITHIN);
  const before = [a, b].map(({ received }) => received.length);
  talk(mesh, [a, b], 30_000);
  assert.deepEqual(
    [a, b].map(({ received }, i) => received.length - (before[i] ?? 0)),
    [300, 300],
  );
});

runSeeds("the only relay drops packets: it stays the way, and people are told", 2, ({ open }) => {
  const mesh = open(CLEAN);
  const founder = mesh.found("founder");
  const [a, b] = hidden(mesh, founder);
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  talk(mesh, [a, b], 5_000);
  dropPackets(mesh, founder);
  talk(mesh, [a, b], 30_000);
  const view = a.status().peers.find(({ id }) => id === b.id);
  assert.match(view?.path ?? "", /^relayed by founder/);
  assert.equal(countOf(a, "path.relayDrops"), 0);
  assert.ok(
    a.status().health.some(({ text }) => text.includes("b")),
    JSON.stringify(a.status().health),
  );
});

/** Two relays, and two nodes that no straight path connects. */
function meshOf(mesh: SimMesh): { readonly mesh: SimMesh; readonly relays: readonly SimNode[]; readonly a: SimNode; readonly b: SimNode } {
  const founder = mesh.found("founder");
  const other = mesh.join("other", founder);
  const [a, b] = hidden(mesh, founder);
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  mesh.clock.advance(10_000);
  return { mesh, relays: [founder, other], a, b };
}

function hidden(mesh: SimMesh, founder: SimNode): readonly [SimNode, SimNode] {
  const siteOf = (name: string, ip: string) => mesh.network.addSite(name, { kind: "sym-rand", publicIps: [ip as Ip] });
  return [
    mesh.join("a", founder, { site: siteOf("home", "203.0.113.1") }),
    mesh.join("b", founder, { site: siteOf("office", "203.0.113.2") }),
  ];
}

/** Of what this node relays, only probes arrive from now on. */
function dropPackets(mesh: SimMesh, relay: SimNode): void {
  const send = mesh.network.send.bind(mesh.network);
  mesh.network.send = (from, to, bytes, options) => {
    const isDropped = from.ip === relay.ip && bytes[0] === RELAYED_KIND && bytes[HEADER_BYTES] !== PROBE_KIND;
    if (!isDropped) send(from, to, bytes, options);
  };
}

function talk(mesh: SimMesh, [a, b]: readonly [SimNode, SimNode], duration: number): void {
  for (let passed = 0; passed < duration; passed += 100) {
    a.send(b);
    b.send(a);
    mesh.clock.advance(100);
  }
}
