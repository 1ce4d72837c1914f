import assert from "node:assert/strict";
import type { SimMesh, SimNode } from "@mesh/core/testing";
import { assertSessionsAgree, pairsOf, tableOf, untilAllReach, untilEqualRecords } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

/** One sync round with a random neighbour is at most 66 s apart; two rounds and a first one at random. */
const CONVERGED_WITHIN = 70_000;
/** A request or its answer was lost: a person, or the agent, asks again. */
const ASK_AGAIN_AFTER = 3_000;
/** Few large ones: the work grows with the square. */
const SIZES = [3, 2, 5, 3, 8, 4, 3, 6, 4, 12, 5];

runSeeds(
  "nodes that join over bad links, at random times and through random members, agree on everything",
  22,
  ({ seed, random, open }) => {
    const mesh = open({
      latency: 5 + random.below(60),
      jitter: random.below(60),
      loss: random.next() * 0.1,
      duplication: random.next() * 0.1,
    });
    const founder = mesh.found("n0");
    const size = SIZES[seed % SIZES.length] ?? 2;
    for (let i = 1; i < size; i++) {
      const node = mesh.stranger(`n${i}`);
      const invite = mesh.invite(founder);
      const via = random.pick(mesh.nodes) ?? founder;
      mesh.clock.at(mesh.clock.now() + random.below(20_000), () =>
        keepAsking(mesh, node, { invite, via, isLost: () => random.next() < 0.2 }),
      );
      if (random.next() < 0.5) mesh.clock.advance(random.below(20_000));
    }
    assert.ok(
      mesh.clock.advanceUntil(120_000, () => mesh.nodes.length === size),
      `only ${mesh.nodes.length} of ${size} joined`,
    );
    assertConverged(mesh);
  },
);

runSeeds("an issuer that crashes between write and answer admits each node once and gives no number twice", 20, ({ random, open }) => {
  const mesh = open({ latency: 20, jitter: 20, loss: random.next() * 0.05, duplication: 0.05 });
  const founder = mesh.found("n0");
  const carrier = mesh.join("n1", founder);
  for (let i = 2; i < 5; i++) {
    const node = mesh.stranger(`n${i}`);
    const invite = mesh.invite(founder);
    const via = random.next() < 0.5 ? founder : carrier;
    let crashes = 1 + random.below(2);
    const crashesAfterWrite = random.next() < 0.5;
    founder.onDurable = (document) => {
      if (document !== "node" || crashes === 0 || !crashesAfterWrite) return;
      crashes--;
      founder.crash();
      mesh.clock.at(mesh.clock.now() + 500, () => founder.restart());
    };
    keepAsking(mesh, node, { invite, via, isLost: () => false });
    if (!crashesAfterWrite) {
      // The write was begun and is not durable: nobody may have been told anything yet.
      founder.effects.length = 0;
      const isWriting = (): boolean => founder.effects.some((effect) => effect.type === "persist" && effect.document === "node");
      assert.ok(mesh.clock.advanceUntil(5_000, isWriting, 0.5));
      founder.crash();
      mesh.clock.at(mesh.clock.now() + 500, () => founder.restart());
    }
    assert.ok(
      mesh.clock.advanceUntil(60_000, () => mesh.nodes.includes(node)),
      `${node.name} did not join`,
    );
    founder.onDurable = () => {};
    mesh.clock.advance(1_000);
    const late = mesh.tryJoin(mesh.stranger(`late${i}`), invite, founder);
    assert.match(late?.message ?? "joined", /used up/, "an invite for one admits one");
  }
  assertConverged(mesh);
});

runSeeds("two joiners race for one invite: one gets in, the other hears that it is spent", 20, ({ random, open }) => {
  const mesh = open({ latency: 20, jitter: 40, loss: 0, duplication: 0 });
  const founder = mesh.found("n0");
  const carrier = mesh.join("n1", founder);
  mesh.clock.advance(1_000);
  const invite = mesh.invite(founder);
  const outcomes: string[] = [];
  for (const name of ["left", "right"]) {
    const node = mesh.stranger(name);
    const answer = (response: Uint8Array | undefined): void => {
      try {
        mesh.admitted(node, invite, response ?? new Uint8Array());
        outcomes.push("joined");
      } catch (error) {
        outcomes.push(error instanceof Error ? error.message : String(error));
      }
    };
    // Asked twice each, by both ways: the same node gets the same answer and spends the invite once.
    mesh.askToJoin(node, { invite, via: random.pick([founder, carrier]) ?? founder, answer });
    mesh.askToJoin(node, { invite, via: random.pick([founder, carrier]) ?? founder, answer: () => {} });
  }
  mesh.clock.advance(2_000);
  assert.deepEqual(outcomes.sort(), ["This invite has been used up.", "joined"]);
  assertConverged(mesh);
});

/** Asks until an answer came through, as a person would. An answer may come twice; the first one counts. */
function keepAsking(
  mesh: SimMesh,
  node: SimNode,
  options: { readonly invite: string; readonly via: SimNode; readonly isLost: () => boolean },
): void {
  if (node.isRunning) return;
  const { invite, via, isLost } = options;
  mesh.askToJoin(node, {
    invite,
    via,
    answer: (response) => {
      if (node.isRunning || response === undefined || isLost()) return;
      try {
        mesh.admitted(node, invite, response);
      } catch {
        // The carrier could not reach the issuer just then: asked again below.
      }
    },
  });
  mesh.clock.at(mesh.clock.now() + ASK_AGAIN_AFTER, () => keepAsking(mesh, node, options));
}

function assertConverged(mesh: SimMesh): void {
  const { nodes } = mesh;
  untilEqualRecords(mesh, nodes, CONVERGED_WITHIN);
  const [first] = nodes;
  assert.ok(first !== undefined);
  for (const node of nodes) assert.deepEqual(tableOf(node), tableOf(first), `tables of ${node.name} and ${first.name}`);
  const numbers = nodes.map((node) => node.status().self.number);
  assert.equal(new Set(numbers).size, nodes.length, `numbers ${numbers.join()}`);
  assert.equal(Object.keys(tableOf(first)).length, nodes.length);
  untilAllReach(mesh, pairsOf(nodes), 30_000);
  assertSessionsAgree(nodes);
}
