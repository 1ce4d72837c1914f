/** Pairs of NATs that PINGs which cross do not join: by which further sockets they get direct, at what cost, and that nothing is lost meanwhile. */
import assert from "node:assert/strict";
import type { LinkQuality, NatName, SimNode } from "@mesh/core/testing";
import { OUTSIDE, pathOf, punchedPairs, talk } from "./hard-fixture.ts";
import { countOf } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

/** 20 ms between two hosts. */
const QUALITY: LinkQuality = { latency: 10, jitter: 1, loss: 0, duplication: 0 };
const LOSSY: LinkQuality = { ...QUALITY, loss: 0.05 };
/** Of both ends together. */
const MOST_PROBES = { easy: 200, hard: 2_400 };
/** Ports in a row are told; by chance 99.8 % are met by then (punch/port-plan.ts). */
const SEQUENCE_WITHIN = 1_500;
const RANGE_WITHIN = 12_000;

const IN_A_ROW: readonly (readonly [NatName, NatName])[] = [
  ["eimr-apdf", "sym-seq"],
  ["sym-seq", "masq"],
  ["masq-open", "sym-seq"],
  ["sym-seq", "sym-seq"],
];
const BY_CHANCE: readonly (readonly [NatName, NatName])[] = [
  ["eimr-apdf", "sym-rand"],
  ["sym-rand", "masq-open"],
  ["masq", "adm-apdf"],
];
const RELAYED: readonly (readonly [NatName, NatName])[] = [
  ["adm-apdf", "adm-apdf"],
  ["adm-apdf", "sym-seq"],
  ["sym-rand", "adm-apdf"],
  ["sym-seq", "sym-rand"],
  ["sym-rand", "sym-rand"],
];

for (const [pairs, within] of [
  [IN_A_ROW, SEQUENCE_WITHIN],
  [BY_CHANCE, RANGE_WITHIN],
] as const)
  for (const [one, other] of pairs)
    runSeeds(`${one} and ${other} get direct and stay so, and no packet is lost`, 2, ({ open }) => {
      const pair = punchedPairs(open(QUALITY), [one, other]);
      const result = talk(pair, 17_000);
      assert.equal(result.lost, 0);
      assert.ok(result.directAfter !== undefined && result.directAfter <= within, `direct after ${result.directAfter} ms`);
      assert.equal(result.flaps, 0, "it stays direct");
      assert.ok(result.probes <= MOST_PROBES.hard, `${result.probes} probes`);
      assert.ok(openSockets(pair.a) <= 1 && openSockets(pair.b) <= 1, "all other sockets are closed");
    });

for (const [one, other] of RELAYED)
  runSeeds(`${one} and ${other} stay relayed: nobody scans, and no packet is lost`, 1, ({ open }) => {
    const pair = punchedPairs(open(QUALITY), [one, other]);
    const { lost, directAfter, probes } = talk(pair, 30_000);
    assert.deepEqual([lost, directAfter], [0, undefined]);
    // Easy rounds after 0, 5, 10 and 20 s by each end, the samples of one search, and what is said about it.
    assert.ok(probes <= 4 * MOST_PROBES.easy + 50, `${probes} probes`);
    assert.equal(openSockets(pair.a) + openSockets(pair.b), 0);
  });

runSeeds("an easy pair opens no further socket, and a round takes a hundred probes of each end at most", 3, ({ open }) => {
  const pair = punchedPairs(open(QUALITY), ["eimr-apdf", "masq"]);
  const { lost, directAfter, probes } = talk(pair, 5_000);
  assert.ok(lost === 0 && directAfter !== undefined && directAfter < 400);
  assert.ok(probes <= MOST_PROBES.easy, `${probes} probes`);
  for (const node of [pair.a, pair.b]) assert.ok(!node.effects.some(({ type }) => type === "open-sockets"));
});

runSeeds("with 5 % of all datagrams lost, a search by chance still ends direct", 4, ({ open }) => {
  const pair = punchedPairs(open(LOSSY), ["masq", "sym-rand"]);
  const { directAfter } = talk(pair, 25_000);
  assert.ok(directAfter !== undefined && directAfter <= RANGE_WITHIN, `direct after ${directAfter} ms`);
});

runSeeds(
  "a NAT that remembered the peer's PING and gives our flow another port: a fresh socket at each end gets round it",
  5,
  ({ open }) => {
    const pair = punchedPairs(open(QUALITY), ["masq", "masq-open"]);
    const { mesh, a, b } = pair;
    const knock = (): void => mesh.network.send({ ip: OUTSIDE.a, port: 51_820 }, { ip: OUTSIDE.b, port: 51_820 }, Uint8Array.of(0));
    knock();
    mesh.clock.advance(50);
    const { lost, directAfter } = talk(pair, 20_000, { each: knock });
    assert.equal(lost, 0);
    assert.ok(directAfter !== undefined && directAfter < 3_500, `direct after ${directAfter} ms`);
    for (const [node, peer] of [
      [a, b],
      [b, a],
    ] as const)
      assert.doesNotMatch(pathOf(node, peer), /:51820/, "at a port that the NAT had never heard of");
  },
);

runSeeds("a path by a further socket that breaks is left for the relay like any other", 3, ({ open }) => {
  const pair = punchedPairs(open(QUALITY), ["masq", "sym-seq"]);
  const { mesh, a, b } = pair;
  assert.ok(talk(pair, 8_000).directAfter !== undefined);
  mesh.network.cut("a", "b");
  const { lost } = talk(pair, 3_000);
  assert.ok(lost <= 2 * 2.5 * 50, `${lost} lost`);
  assert.equal(talk(pair, 10_000).lost, 0);
  assert.ok(countOf(a, "path.suspect") > 0 && countOf(b, "path.suspect") > 0);
});

runSeeds("a search in vain is not repeated for ten minutes", 1, ({ open }) => {
  const pair = punchedPairs(open(QUALITY), ["masq", "sym-rand"]);
  // What goes straight between the two is lost.
  pair.mesh.network.cut("a", "b");
  const { lost, directAfter } = talk(pair, 30_000);
  assert.deepEqual([lost, directAfter], [0, undefined]);
  const opened = pair.b.effects.filter((effect) => effect.type === "open-sockets" && effect.count > 4).length;
  assert.equal(opened, 1);
  assert.equal(openSockets(pair.b), 0, "and its sockets are closed");
});

/** Further ones. */
function openSockets(node: SimNode): number {
  return node.datapath.furtherSockets;
}
