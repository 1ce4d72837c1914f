import assert from "node:assert/strict";
import type { SimMesh, SimNode } from "@mesh/core/testing";
import { assertSessionsAgree, countOf, isReachable, pairsOf, slotsOf, untilAllReach } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** WireGuard's REKEY_AFTER_TIME, and what may come on top: the wait for the next packet, the engine's stamps, a round trip. */
const REKEYED_AFTER = { least: 120_000, most: 120_000 + 4_000 };
const MAX_SESSIONS = 3;
/** After the last packet: a keepalive at 10 s, heartbeats for 45 s, the silence that a last handshake may still break. */
const QUIET_AFTER = 2 * MINUTE;

/** PINGs to the home in use every 20 s at least, to the standby every 100 s (node/home-relays.ts). */
const HOMES_PER_MINUTE = 3 + 0.6;

runSeeds("hours of traffic: new keys every two minutes, three sessions at most, no path moves", 20, ({ seed, random, open }) => {
  const mesh = open({ latency: 5 + random.below(80), jitter: random.below(40), loss: 0, duplication: random.next() * 0.02 });
  const [a, b, idle] = threeOf(mesh);
  untilAllReach(
    mesh,
    [
      [a, b],
      [b, a],
    ],
    10_000,
  );
  const moves = movesOf([a, b, idle]);
  const interval = 6_000 + random.below(4_000);
  const isTwoWay = random.next() < 0.5;
  const installedAt: number[] = [];
  /** Longest life of the session made then: who only receives and was the initiator renews at 165 s, WireGuard's receive-side rule. */
  const longest: number[] = [];
  const span = seed === 1 ? 2 * HOUR : HOUR / 6;
  const count = Math.floor(span / interval);
  a.received.length = 0;
  b.received.length = 0;
  let known = new Set(sessionsOf(a, b));
  for (let i = 0; i < count; i++) {
    a.send(b);
    if (isTwoWay) b.send(a, { family: 6 });
    mesh.clock.advance(interval);
    for (const [here, there] of [
      [a, b],
      [b, a],
    ] as const)
      assert.ok(sessionsOf(here, there).length <= MAX_SESSIONS, `${here.name} keeps too many`);
    const now = sessionsOf(a, b);
    const made = now.find((index) => !known.has(index));
    if (made !== undefined) {
      installedAt.push(mesh.clock.now());
      const isReceiversTurn = !isTwoWay && roleOf(a, b, made) === "responder";
      longest.push(isReceiversTurn ? 165_000 : REKEYED_AFTER.most);
    }
    known = new Set(now);
    forgetEffects(mesh);
  }
  mesh.clock.advance(1_000);
  assert.deepEqual([b.received.length, a.received.length], [count, isTwoWay ? count : 0], "packets were lost on a link that loses none");
  const gaps = installedAt.slice(1).map((at, i) => at - (installedAt[i] ?? 0));
  assert.ok(gaps.length > span / Math.max(...longest) - 3, `only ${gaps.length} rekeys`);
  for (const [i, gap] of gaps.entries()) {
    const isInTime = gap >= REKEYED_AFTER.least - interval && gap <= (longest[i] ?? 0) + interval;
    assert.ok(isInTime, `rekeyed after ${gap / 1_000} s`);
  }
  assert.deepEqual(movesOf([a, b, idle]), moves, "a path moved without cause");
  assert.equal(countOf(a, "session.handshakeFailed") + countOf(b, "session.handshakeFailed"), 0);
  assertSessionsAgree([a, b]);
});

runSeeds("hours of traffic over a lossy link: still three sessions at most, and no path fails", 20, ({ random, open }) => {
  const mesh = open({ latency: 20, jitter: 30, loss: 0.03, duplication: 0.01 });
  const [a, b, idle] = threeOf(mesh);
  untilAllReach(mesh, pairsOf([a, b, idle]), 20_000);
  b.received.length = 0;
  let sent = 0;
  while (sent < 80) {
    // Talk, then pause: for a moment, for longer than a keepalive, for longer than a session lives.
    for (let i = 0; i < 20; i++, sent++) {
      a.send(b);
      mesh.clock.advance(500 + random.below(1_000));
      for (const [here, there] of pairsOf([a, b, idle])) assert.ok(sessionsOf(here, there).length <= MAX_SESSIONS);
    }
    mesh.clock.advance(random.pick([1_000, 15_000, 200_000, 600_000]) ?? 0);
    forgetEffects(mesh);
  }
  assert.ok(b.received.length >= sent * 0.85, `only ${b.received.length} of ${sent} packets arrived`);
  for (const node of [a, b, idle]) assert.equal(countOf(node, "path.failed"), 0, `a path of ${node.name} failed`);
});

runSeeds(
  "an idle mesh sends nothing but what keeps homes open, for those that nobody reaches unasked, however many peers there are",
  20,
  ({ seed, random, open }) => {
    const mesh = open({ latency: 20, jitter: 10, loss: 0, duplication: 0 });
    const founder = mesh.found("n0");
    for (let i = 1; i < 3 + (seed % 3); i++) mesh.join(`n${i}`, founder);
    mesh.clock.advance(QUIET_AFTER);
    if (seed % 2 === 0) {
      untilAllReach(mesh, pairsOf(mesh.nodes), 10_000);
      mesh.clock.advance(random.below(5 * MINUTE));
      mesh.clock.advance(QUIET_AFTER);
    }
    const behind = mesh.nodes.filter((node) => !isReachable(mesh, node)).length;
    assert.ok(behind < mesh.nodes.length, "nobody can be anybody's home");
    let datagrams = 0;
    mesh.network.onDatagram = () => datagrams++;
    const span = seed === 1 ? 2 * HOUR : HOUR / 4;
    mesh.clock.advance(span);
    const most = behind * (HOMES_PER_MINUTE * (span / MINUTE) + 1) * 2;
    assert.ok(datagrams <= most, `${datagrams} datagrams, PINGs and PONGs, of ${behind} nodes that need homes`);
    // And after the long silence the first packets get through at once.
    const took = untilAllReach(mesh, pairsOf(mesh.nodes), 1_000);
    assert.ok(took < 1_000, `took ${took} ms`);
  },
);

function threeOf(mesh: SimMesh): readonly [SimNode, SimNode, SimNode] {
  const founder = mesh.found("a");
  const nodes = [founder, mesh.join("b", founder), mesh.join("idle", founder)] as const;
  mesh.clock.advance(20_000);
  return nodes;
}

/** Indices of the sessions a node has with a peer. */
function sessionsOf(node: SimNode, peer: SimNode): readonly number[] {
  const slot = slotOf(node, peer);
  return slot === undefined ? [] : node.datapath.sessionsOf(slot).map(({ localIndex }) => localIndex);
}

const knownSlots = new WeakMap<SimNode, ReadonlyMap<string, number>>();

/** Looked up once: members do not change here. */
function slotOf(node: SimNode, peer: SimNode): number | undefined {
  const slots = knownSlots.get(node) ?? slotsOf(node);
  knownSlots.set(node, slots);
  return slots.get(peer.id);
}

/** How often each path changed its state since the start. */
function movesOf(nodes: readonly SimNode[]): readonly number[] {
  return nodes.map((node) => countOf(node, "path."));
}

function forgetEffects(mesh: SimMesh): void {
  for (const node of mesh.nodes) node.effects.length = 0;
}

/** This node's part in the session of that index of its own. */
function roleOf(node: SimNode, peer: SimNode, localIndex: number): string | undefined {
  const slot = slotOf(node, peer);
  return slot === undefined ? undefined : node.datapath.sessionsOf(slot).find((session) => session.localIndex === localIndex)?.role;
}
