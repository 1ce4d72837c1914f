import assert from "node:assert/strict";
import type { SimMesh, SimNode } from "@mesh/core/testing";
import { countOf, isReachable, pairsOf, recordRoot, stateOf, tableOf, untilAllReach, untilEqualRecords } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

const CLEAN = { latency: 20, jitter: 10, loss: 0, duplication: 0 };
/** A quarter of a second until the engine's stamps are read, a second of silence, two PINGs (path/path-state.ts). */
const SUSPECT_WITHIN = 3_000;
/** A control link over a cut is found dead by the next look (5.5 s) and 12 s of patience; until then a failed path is only `suspect`. */
const FAILED_WITHIN = 18_000;
/** Data that is sent makes the path look again, at most every 5 s (path/path-state.ts, RETRY_INTERVALS), and a look takes up to 2.5 s. */
const HEALED_WITHIN = 8_000;
/** From the doubt to the first answer by a relay, and until that is seen from both ends. */
const RELAYED_AFTER = 1_000;
/** Of packets 500 ms apart: until the doubt, and while the relay was asked. */
const MAX_LOST = 8;
/** A round that began before may miss the moment; the wait after it is the one that is due. */
const ROUND_WITHIN = 3_000;
const CONVERGED_WITHIN = 70_000;
const BACK_WITHIN = 3_000;

runSeeds(
  "a pair that is cut from each other goes by the third node, and straight again when it is healed; nobody else notices",
  20,
  ({ random, open }) => {
    const { mesh, nodes } = meshOf(open(CLEAN), 3);
    // One that others reach unasked: the founder always, and whomever a later one asked first.
    const third = random.pick(nodes.filter((node) => isReachable(mesh, node)));
    const [a, b] = nodes.filter((node) => node !== third);
    assert.ok(third !== undefined && a !== undefined && b !== undefined);
    const cut = [
      [a, b],
      [b, a],
    ] as const;
    const others = pairsOf(nodes).filter((pair) => !(pair.includes(a) && pair.includes(b)));
    untilAllReach(mesh, pairsOf(nodes), 10_000);
    const stop = startTraffic(mesh, pairsOf(nodes), 500);
    mesh.clock.advance(3_000);

    mesh.network.cut(a.name, b.name);
    const cutAt = mesh.clock.now();
    for (const [node, peer] of cut) {
      const isNoticed = (): boolean => countOf(node, "path.suspect") > 0;
      const left = SUSPECT_WITHIN - (mesh.clock.now() - cutAt);
      assert.ok(mesh.clock.advanceUntil(left, isNoticed, 50), `not suspect in ${SUSPECT_WITHIN} ms: ${stateOf(node, peer)}`);
    }
    const isRelayed = (): boolean =>
      cut.every(([node, peer]) => viewOf(node, peer)?.relay === third.name && stateOf(node, peer) === "alive");
    const left = SUSPECT_WITHIN + RELAYED_AFTER - (mesh.clock.now() - cutAt);
    assert.ok(mesh.clock.advanceUntil(left, isRelayed, 50), `not relayed: ${pathOf(a, b)}, ${pathOf(b, a)}`);
    assert.match(pathOf(a, b), /^relayed by n\d, (?:looking for a direct path|no direct path found, next try in \d+ s)$/);
    mesh.clock.advance(random.below(20_000));
    assert.ok(isRelayed(), `${pathOf(a, b)}, ${pathOf(b, a)}`);

    mesh.network.heal(a.name, b.name);
    const dueWithin = Math.max(HEALED_WITHIN, nextTryOf(a, b), nextTryOf(b, a));
    const isDirect = (): boolean => cut.every(([node, peer]) => viewOf(node, peer)?.endpoint === `${peer.ip}:${peer.udp.port}`);
    assert.ok(mesh.clock.advanceUntil(dueWithin, isDirect, 100), `not direct in ${dueWithin} ms: ${pathOf(a, b)}, ${pathOf(b, a)}`);
    mesh.clock.advance(5_000);
    assert.ok(isDirect(), `it did not stay: ${pathOf(a, b)}, ${pathOf(b, a)}`);

    stop();
    mesh.clock.advance(200);
    for (const [from, to] of cut) assert.ok(lostOf(from, to) <= MAX_LOST, `${from.name} to ${to.name} lost ${lostOf(from, to)}`);
    for (const [from, to] of others) assert.equal(lostOf(from, to), 0, `${from.name} to ${to.name} lost packets`);
    assert.equal(countOf(third, "path.suspect", "path.failed"), 0);
  },
);

runSeeds("a node that is cut off from everyone is suspect, fails and heals by itself, and nobody else notices", 20, ({ random, open }) => {
  const { mesh, nodes } = meshOf(open(CLEAN), 3);
  const a = nodes[random.below(3)];
  assert.ok(a !== undefined);
  const rest = nodes.filter((node) => node !== a);
  const cut = pairsOf(nodes).filter((pair) => pair.includes(a));
  untilAllReach(mesh, pairsOf(nodes), 10_000);
  const stop = startTraffic(mesh, pairsOf(nodes), 500);
  mesh.clock.advance(3_000);

  for (const node of rest) mesh.network.cut(a.name, node.name);
  const statesOf = (): string => cut.map(([node, peer]) => `${node.name} of ${peer.name} ${stateOf(node, peer)}`).join(", ");
  const are = (state: string) => (): boolean => cut.every(([node, peer]) => stateOf(node, peer) === state);
  assert.ok(mesh.clock.advanceUntil(SUSPECT_WITHIN, are("suspect"), 50), `not suspect in ${SUSPECT_WITHIN} ms: ${statesOf()}`);
  assert.ok(mesh.clock.advanceUntil(FAILED_WITHIN, are("failed"), 100), `not failed in ${FAILED_WITHIN} ms: ${statesOf()}`);
  for (const [node, peer] of cut) assert.match(pathOf(node, peer), /^no answer for \d+ s$/);
  mesh.clock.advance(random.below(20_000));

  for (const node of rest) mesh.network.heal(a.name, node.name);
  const healedAt = mesh.clock.now();
  untilAllReach(mesh, cut, HEALED_WITHIN);
  const left = HEALED_WITHIN - (mesh.clock.now() - healedAt);
  assert.ok(mesh.clock.advanceUntil(left, are("alive"), 100), `not alive in ${HEALED_WITHIN} ms: ${statesOf()}`);

  stop();
  mesh.clock.advance(200);
  for (const [from, to] of pairsOf(rest)) assert.equal(lostOf(from, to), 0, `${from.name} to ${to.name} lost packets`);
});

runSeeds("after a partition in which both halves changed records, all agree again", 20, ({ random, open }) => {
  const { mesh, nodes } = meshOf(open({ ...CLEAN, loss: random.next() * 0.05 }), 4);
  untilAllReach(mesh, pairsOf(nodes), 20_000);
  const halves = [nodes.slice(0, 2), nodes.slice(2)];
  for (const x of halves[0] ?? []) for (const y of halves[1] ?? []) mesh.network.cut(x.name, y.name);
  mesh.clock.advance(random.below(20_000));
  const before = nodes.map(recordRoot);
  for (const half of halves) {
    // One of each half stays where it is: nodes of which nobody knows where they went cannot find each other.
    const last = half.at(-1);
    last?.crash();
    mesh.clock.advance(random.below(2_000));
    last?.restart(nextIp(last, random.below(200)));
  }
  mesh.clock.advance(5_000 + random.below(30_000));
  assert.notEqual(recordRoot(nodes[0] as SimNode), recordRoot(nodes[2] as SimNode), "the halves did not come apart");
  assert.notDeepEqual(nodes.map(recordRoot), before);

  mesh.network.healAll();
  untilEqualRecords(mesh, nodes, CONVERGED_WITHIN);
  for (const node of nodes) assert.deepEqual(tableOf(node), tableOf(nodes[0] as SimNode));
  untilAllReach(mesh, pairsOf(nodes), 20_000);
});

runSeeds("the death of any one node interrupts nothing between the others", 20, ({ seed, random, open }) => {
  const { mesh, nodes } = meshOf(open(CLEAN), 4);
  untilAllReach(mesh, pairsOf(nodes), 10_000);
  const victim = nodes[seed % nodes.length];
  assert.ok(victim !== undefined);
  const others = nodes.filter((node) => node !== victim);
  const stop = startTraffic(mesh, pairsOf(nodes), 500);
  mesh.clock.advance(random.below(3_000));
  victim.crash();
  const paths = others.map((node) => endpointsOf(node, others));
  mesh.clock.advance(20_000);
  stop();
  mesh.clock.advance(200);
  for (const [from, to] of pairsOf(others)) {
    assert.equal(lostOf(from, to), 0, `${from.name} to ${to.name} lost packets`);
    assert.equal(stateOf(from, to), "alive");
  }
  for (const [i, node] of others.entries()) {
    assert.deepEqual(endpointsOf(node, others), paths[i]);
    assert.equal(stateOf(node, victim), "failed");
  }
});

runSeeds("kill -9 and a restart keep identity, number and peers, and traffic is back within 3 s", 20, ({ seed, random, open }) => {
  const { mesh, nodes } = meshOf(open(CLEAN), 3);
  untilAllReach(mesh, pairsOf(nodes), 10_000);
  const victim = random.below(3);
  const node = nodes[victim];
  const peer = nodes[(victim + 1 + random.below(2)) % nodes.length];
  assert.ok(node !== undefined && peer !== undefined);
  mesh.clock.advance(random.below(10_000));
  const before = node.status();
  const root = recordRoot(node);
  // Who speaks first after the restart must not matter.
  const speakers = [
    [[node, peer]],
    [[peer, node]],
    [
      [node, peer],
      [peer, node],
    ],
  ] as const;
  const pairs = speakers[seed % 3] ?? [];
  const stop = startTraffic(mesh, pairs, 100);
  mesh.clock.advance(2_000);
  node.crash();
  mesh.clock.advance(random.below(5_000));
  node.restart();
  untilAllReach(mesh, pairs, BACK_WITHIN);
  stop();

  const after = node.status();
  assert.deepEqual({ ...after.self, startedAt: 0 }, { ...before.self, startedAt: 0 });
  assert.deepEqual(
    after.peers.map(({ id, number }) => [id, number]),
    before.peers.map(({ id, number }) => [id, number]),
  );
  assert.deepEqual(after.network, before.network);
  untilEqualRecords(mesh, nodes, CONVERGED_WITHIN);
  untilAllReach(mesh, pairsOf(nodes), 20_000);
  // Where it was, it may have nothing new to say; elsewhere it has, at once, above whatever it said before.
  node.crash();
  mesh.clock.advance(1_000);
  node.restart(nextIp(node, 7));
  mesh.clock.advance(2_000);
  untilEqualRecords(mesh, nodes, CONVERGED_WITHIN);
  assert.notEqual(recordRoot(node), root);
  untilAllReach(mesh, pairsOf(nodes), 20_000);
});

function meshOf(mesh: SimMesh, size: number): { readonly mesh: SimMesh; readonly nodes: readonly SimNode[] } {
  const founder = mesh.found("n0");
  for (let i = 1; i < size; i++) mesh.join(`n${i}`, founder);
  mesh.clock.advance(12_000);
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  return { mesh, nodes: mesh.nodes };
}

const sentBy = new WeakMap<SimNode, Map<SimNode, number>>();

/** Numbered packets, `interval` ms apart, between running nodes. Returns what stops them. */
function startTraffic(mesh: SimMesh, pairs: readonly (readonly [SimNode, SimNode])[], interval: number): () => void {
  let isOver = false;
  for (const [from, to] of pairs) {
    to.received.length = 0;
    const sent = sentBy.get(from) ?? new Map<SimNode, number>();
    sentBy.set(from, sent.set(to, 0));
    const send = (): void => {
      if (isOver) return;
      if (from.isRunning && to.isRunning) {
        const count = sent.get(to) ?? 0;
        sent.set(to, count + 1);
        from.send(to, { payload: Uint8Array.of(MARK, ...Buffer.from(from.name), 0, count >> 8, count & 0xff) });
      } else if (from.isRunning) from.send(to);
      mesh.clock.at(mesh.clock.now() + interval, send);
    };
    send();
  }
  return () => {
    isOver = true;
  };
}

const MARK = 0xaa;

/** Packets of startTraffic that did not come out. */
function lostOf(from: SimNode, to: SimNode): number {
  const name = [MARK, ...Buffer.from(from.name), 0].join();
  const arrived = new Set(
    to.received.filter(({ payload }) => payload.subarray(0, -2).join() === name).map(({ payload }) => payload.join()),
  );
  return (sentBy.get(from)?.get(to) ?? 0) - arrived.size;
}

/** Where the node sends what is for these. */
function endpointsOf(node: SimNode, peers: readonly SimNode[]): readonly (string | undefined)[] {
  const { peers: views } = node.status();
  return peers.map((peer) => views.find(({ id }) => id === peer.id)?.endpoint);
}

function viewOf(node: SimNode, peer: SimNode): ReturnType<SimNode["status"]>["peers"][number] | undefined {
  return node.status().peers.find(({ id }) => id === peer.id);
}

function pathOf(node: SimNode, peer: SimNode): string {
  return viewOf(node, peer)?.path ?? "not a member";
}

/** When a relayed path has looked for a straight one again, as people are told; after a round that misses the moment, the third wait. */
function nextTryOf(node: SimNode, peer: SimNode): number {
  const [, wait = "20"] = / next try in (\d+) s$/.exec(pathOf(node, peer)) ?? [];
  return (Number(wait) + 1) * 1_000 + ROUND_WITHIN;
}

function nextIp(node: SimNode, last: number): SimNode["ip"] {
  return `198.19.${Number(node.name.slice(1))}.${1 + last}` as SimNode["ip"];
}
