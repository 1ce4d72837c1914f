import assert from "node:assert/strict";
import type { SimMesh, SimNode } from "@mesh/core/testing";
import type { Endpoint } from "../../packages/core/src/address/endpoint.ts";
import { minutes, seconds } from "../../packages/core/src/time/millis.ts";
import { countOf, untilAllReach } from "./mesh-facts.ts";
import { PointingMember } from "./pointing-members.ts";
import { runSeeds } from "./run-seeds.ts";

const EXACT = { latency: 20, jitter: 0, loss: 0, duplication: 0 };
const VICTIM: Endpoint["ip"] = "203.0.113.200" as Endpoint["ip"];
const FOR = minutes(10);
/** Three rounds of 3 s with 12 at once and 2 a second, seven rounds of one, two more in 10 minutes (node/probe-budget.ts). */
const MOST_AT_ADDRESS = 3 * (12 + 2 * 3) + 7 + 2;
/** 300 in vain, then 12 at once and one in 5 s. */
const MOST_AT_IP = 300 + 12 + 600 / 5;

for (const members of [1, 4])
  runSeeds(`${members} members name one address for 10 minutes: it gets no more PINGs than from one`, 1, ({ open }) => {
    const { mesh, honest, pointing } = meshOf(open(EXACT), members);
    const arrived = arrivalsAt(mesh, honest);
    const victim = { ip: VICTIM, port: 5_353 };
    attack(mesh, pointing, () => [victim, victim]);
    for (const node of honest) {
      const count = arrived(node);
      assert.ok(count >= 12, `${node.name} was not made to look: ${count}`);
      assert.ok(count <= MOST_AT_ADDRESS, `${count} datagrams of ${node.name}`);
      assert.ok(countOf(node, "probe.heldBack") > 100);
    }
    untilAllReach(mesh, [[honest[0], honest[1]]], seconds(2));
  });

runSeeds("a member names ever new ports of one host for 10 minutes: it gets a bounded number", 1, ({ open }) => {
  const { mesh, honest, pointing } = meshOf(open(EXACT), 1);
  const arrived = arrivalsAt(mesh, honest);
  let port = 2_000;
  attack(mesh, pointing, () => Array.from({ length: 12 }, () => ({ ip: VICTIM, port: 2_000 + (port++ % 60_000) })));
  for (const node of honest) {
    const count = arrived(node);
    assert.ok(count >= 100 && count <= MOST_AT_IP, `${count} datagrams of ${node.name}`);
  }
});

runSeeds("a member that sends PINGs in the name of another address earns it one PING for each, 2 a second", 2, ({ open }) => {
  const { mesh, honest, pointing } = meshOf(open(EXACT), 1);
  const victim = { ip: VICTIM, port: 5_353 };
  const arrived = arrivalsAt(mesh, honest);
  const rounds = 600;
  for (let i = 0; i < rounds; i++) {
    for (let k = 0; k < 5; k++) pointing[0]?.pingFrom(victim);
    mesh.clock.advance(100);
  }
  // Each PING is answered by a PONG of its own size; the PINGs beside are bounded.
  for (const node of honest) {
    const pings = arrived(node) - rounds * 5;
    assert.ok(pings <= 12 + (2 * rounds) / 10 + 1, `${pings} PINGs of ${node.name}`);
  }
});

/** Offers as quick as they are listened to, a record every 5 s, and somebody who wants to reach the members. */
function attack(mesh: SimMesh, pointing: readonly PointingMember[], names: () => readonly Endpoint[]): void {
  for (let at = 0; at < FOR; at += 1_000) {
    for (const member of pointing) {
      if (at % 2_000 === 0) member.offer(names());
      if (at % 5_000 === 0) member.publish(names());
      member.attract();
    }
    mesh.clock.advance(1_000);
  }
}

/** Datagrams that each node has sent to the victim since. */
function arrivalsAt(mesh: SimMesh, nodes: readonly SimNode[]): (node: SimNode) => number {
  const counts = new Map<string, number>();
  mesh.network.onDatagram = (from, to) => {
    if (to.ip === VICTIM) counts.set(from.ip, (counts.get(from.ip) ?? 0) + 1);
  };
  return (node) => counts.get(nodes.includes(node) ? node.ip : "") ?? 0;
}

function meshOf(
  mesh: SimMesh,
  members: number,
): { readonly mesh: SimMesh; readonly honest: readonly [SimNode, SimNode]; readonly pointing: readonly PointingMember[] } {
  const honest = [mesh.found("founder"), mesh.join("one", mesh.nodes[0] ?? assert.fail())] as const;
  const joined = Array.from({ length: members }, (_, i) => mesh.join(`member-${i}`, honest[0]));
  mesh.clock.advance(seconds(15));
  const pointing = joined.map((node) => new PointingMember(mesh, node, honest));
  mesh.clock.advance(seconds(1));
  return { mesh, honest, pointing };
}
