/** What whole nodes say of their paths, and what it costs to be asked. */
import assert from "node:assert/strict";
import type { PingView } from "@mesh/core/api";
import type { CommandResult } from "@mesh/core/node";
import type { NatName, SimMesh, SimNode } from "@mesh/core/testing";
import { untilEqualRecords } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

type Ip = SimNode["ip"];
type Sources = Parameters<SimNode["node"]["status"]>[0];

const CONVERGED_WITHIN = 70_000;

runSeeds(
  "why of a node behind a NAT of changing ports, asked behind a random one: a relay in use, and addresses that do not answer",
  3,
  ({ open }) => {
    const { mesh, strict, random } = meshOf(open(), "sym-seq");
    keepTalking(mesh, random, strict, 20_000);
    const why = random.node.why("strict", sourcesOf(mesh, random));
    assert.equal(why.path.kind, "relay");
    const [used, ...others] = why.candidates;
    assert.ok(used?.relay?.startsWith("pub-") === true && used.fate === "in-use", JSON.stringify(used));
    assert.ok(others.some(({ endpoint, fate }) => endpoint !== undefined && fate === "unanswered"));
    assert.ok(!others.some(({ endpoint, fate }) => endpoint !== undefined && fate === "answered"));
    assert.equal(why.here.mapping, "endpoint-dependent");
    assert.deepEqual(
      [strict, random].map((node) => node.node.netcheck(sourcesOf(mesh, node)).mapping),
      ["endpoint-dependent", "endpoint-dependent"],
    );
    const ping = pinged(mesh, random, "strict");
    assert.deepEqual([ping.answered, ping.path, ping.relay, ping.endpoint], [true, `relayed by ${used.relay}`, used.relay, undefined]);
  },
);

runSeeds("why and netcheck as views change nothing and send nothing", 2, ({ open }) => {
  const { mesh, strict, random } = meshOf(open());
  keepTalking(mesh, random, strict, 5_000);
  const before = [random.effects.length, random.node.wakeAt(), JSON.stringify(random.status())];
  random.node.why("strict", sourcesOf(mesh, random));
  random.node.netcheck(sourcesOf(mesh, random));
  assert.deepEqual([random.effects.length, random.node.wakeAt(), JSON.stringify(random.status())], before);
});

runSeeds("asking relays sends one PING to each of them and nothing else, and is over with the last answer", 3, ({ open }) => {
  const { mesh, relays, strict } = meshOf(open());
  mesh.clock.advance(120_000); // what was begun is over
  const { effects } = strict;
  const [beganAt, sentBefore] = [mesh.clock.now(), effects.length];
  let result: CommandResult | undefined;
  strict.command({ type: "ask-relays" }, (value) => {
    result = value;
  });
  const sent = effects.slice(sentBefore).flatMap((effect) => (effect.type === "send-datagram" ? [effect.way.endpoint.ip] : []));
  assert.deepEqual(sent.toSorted(), relays.map(({ ip }) => ip).toSorted());
  assert.ok(mesh.clock.advanceUntil(1_000, () => result !== undefined, 1));
  assert.deepEqual(result, { type: "ask-relays" });
  assert.ok(mesh.clock.now() - beganAt < 200, "it does not wait for the timeout");
  const view = strict.node.netcheck(sourcesOf(mesh, strict));
  assert.deepEqual(
    view.relays.map(({ name, answers, rttMs }) => [name, answers, rttMs !== undefined]).toSorted(),
    relays.map(({ name }) => [name, true, true]),
  );
  assert.ok(view.homes.every(({ everyMs }) => everyMs !== undefined));
});

runSeeds("a relay that is gone is waited for a second, and told", 2, ({ open }) => {
  const { mesh, relays, strict } = meshOf(open());
  const [gone, ...others] = relays;
  gone?.crash();
  const beganAt = mesh.clock.now();
  assert.deepEqual(mesh.command(strict, { type: "ask-relays" }), { type: "ask-relays" });
  assert.equal(mesh.clock.now() - beganAt, 1_000);
  const view = strict.node.netcheck(sourcesOf(mesh, strict));
  assert.deepEqual(
    view.relays.map(({ name, answers }) => [name, answers]).toSorted(),
    [[gone?.name, false], ...others.map(({ name }) => [name, true])].toSorted(),
  );
});

runSeeds("clients that ask without end cost one PING to a relay each, for eight at once", 1, ({ open }) => {
  const { mesh, relays, strict } = meshOf(open());
  for (const relay of relays) relay.crash();
  const before = strict.effects.length;
  let done = 0;
  for (let i = 0; i < 1_000; i++) strict.command({ type: "ask-relays" }, () => done++);
  const sent = strict.effects.slice(before).filter(({ type }) => type === "send-datagram");
  assert.deepEqual([sent.length, done], [8 * relays.length, 1_000 - 8]);
  mesh.clock.advance(1_000);
  assert.equal(done, 1_000);
});

/** Two public nodes, of which one at least knows that it can relay, and two behind NATs that no hole can be punched through. */
function meshOf(
  mesh: SimMesh,
  kindOfStrict: NatName = "eimr-apdf",
): { mesh: SimMesh; relays: readonly SimNode[]; strict: SimNode; random: SimNode } {
  const siteOf = (kind: NatName, ip: string) => mesh.network.addSite(kind, { kind, publicIps: [ip as Ip] });
  const first = mesh.found("pub-1");
  const second = mesh.join("pub-2", first);
  const strict = mesh.join("strict", first, { site: siteOf(kindOfStrict, "198.51.100.1") });
  const random = mesh.join("random", first, { site: siteOf("sym-rand", "198.51.100.2") });
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  const pubs = [first, second];
  for (const pub of pubs) for (const node of [strict, random]) keepTalking(mesh, node, pub, 1_000);
  const known = (node: SimNode): readonly string[] => node.node.netcheck(sourcesOf(mesh, node)).relays.map(({ name }) => name);
  assert.ok(
    mesh.clock.advanceUntil(60_000, () => [strict, random].every((node) => known(node).length > 0), 500),
    "a public node is known to relay",
  );
  mesh.clock.advance(12_000); // and the other one has said so, if it knows
  return { mesh, relays: pubs.filter(({ name }) => known(strict).includes(name)), strict, random };
}

function keepTalking(mesh: SimMesh, from: SimNode, to: SimNode, duration: number): void {
  for (let at = 0; at < duration; at += 500) {
    from.send(to);
    mesh.clock.advance(500);
  }
}

function pinged(mesh: SimMesh, from: SimNode, target: string): PingView {
  const result = mesh.command(from, { type: "ping", target });
  assert.ok(result.type === "ping", result.type);
  return result.ping;
}

function sourcesOf(mesh: SimMesh, { datapath }: SimNode): Sources {
  return {
    now: mesh.clock.now(),
    traffic: (slot) => datapath.readTraffic(slot),
    datapathCounters: {},
    guard: { guarded: true },
    unwritten: undefined,
  };
}
