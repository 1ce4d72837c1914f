import assert from "node:assert/strict";
import type { CommandResult } from "@mesh/core/node";
import { NAT_KINDS, type SimMesh, type SimNode, type SimSite } from "@mesh/core/testing";
import type { Ip } from "../../packages/core/src/address/ip.ts";
import { GRANT_BLOCK_SIZE } from "../../packages/core/src/membership/ledger.ts";
import { RecordOpener } from "../../packages/core/src/records/record.ts";
import { pairsOf, recordsOf, stateOf, untilAllReach, untilEqualRecords } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

const CLEAN = { latency: 20, jitter: 10, loss: 0, duplication: 0 };
/** Two hops of gossip and the write before it. */
const HEARD_WITHIN = 1_000;
const BACK_WITHIN = 3_000;

runSeeds("a node that is stopped is left at once, not failed, and nobody looks for it until it is back", 20, ({ random, open }) => {
  const mesh = open(CLEAN);
  const nodes = meshOf(mesh, 4);
  const gone = nodes[random.below(4)] ?? assert.fail();
  const others = nodes.filter((node) => node !== gone);
  untilAllReach(mesh, pairsOf(nodes), 10_000);
  mesh.clock.advance(random.below(60_000));

  gone.stop();
  const isLeft = (): boolean => others.every((node) => stateOf(node, gone) === "left");
  assert.ok(mesh.clock.advanceUntil(HEARD_WITHIN, isLeft, 20), others.map((node) => `${node.name}: ${stateOf(node, gone)}`).join());
  mesh.clock.advance(5_000); // what was in flight is over
  for (const node of others) node.effects.length = 0;
  for (let i = 0; i < 30; i++) {
    for (const node of others) node.send(gone);
    mesh.clock.advance(1_000);
  }
  assert.ok(isLeft());
  for (const node of others)
    for (const effect of node.effects)
      if (effect.type === "send-datagram")
        assert.notEqual(effect.way.endpoint.ip, gone.ip, `${node.name} looks for a node that said goodbye`);

  gone.restart();
  const isAlive = (): boolean => others.every((node) => stateOf(node, gone) === "alive");
  assert.ok(mesh.clock.advanceUntil(BACK_WITHIN, isAlive, 50), others.map((node) => `${node.name}: ${stateOf(node, gone)}`).join());
  untilAllReach(mesh, pairsOf(nodes), 10_000);
});

runSeeds(
  "a node that leaves is gone everywhere, its number is not the next one's, and its key is not let in any more",
  20,
  ({ random, open }) => {
    const mesh = open(CLEAN);
    const nodes = meshOf(mesh, 4);
    const [founder] = nodes;
    const leaver = nodes[1 + random.below(3)] ?? assert.fail();
    assert.ok(founder !== undefined);
    untilAllReach(mesh, pairsOf(nodes), 10_000);
    const { number } = leaver.status().self;

    const result = commanded(mesh, leaver, { isForced: false });
    assert.ok(result.type === "leave" && result.leave.told > 0, JSON.stringify(result));
    assert.ok(leaver.hasLeftOnDisk);
    leaver.crash();
    const others = nodes.filter((node) => node !== leaver);
    const isForgotten = (): boolean => others.every((node) => stateOf(node, leaver) === "not a member");
    assert.ok(mesh.clock.advanceUntil(HEARD_WITHIN, isForgotten, 20));
    for (const node of others) assert.equal(node.table.peers.length, others.length - 1, `${node.name} keeps a slot for it`);

    // Whoever finds its state and starts it: nobody listens.
    leaver.restart();
    mesh.clock.advance(20_000);
    assert.ok(isForgotten());
    leaver.crash();

    const next = mesh.join("next", founder);
    assert.notEqual(next.status().self.number, number);
    untilEqualRecords(mesh, [...others, next], 70_000);
    untilAllReach(mesh, pairsOf([...others, next]), 20_000);
  },
);

runSeeds("when every number has been held, one of those that left is another node's, and packets to it reach that one", 2, ({ open }) => {
  const mesh = open(CLEAN);
  const nodes = meshOf(mesh, 3);
  const [founder] = nodes;
  assert.ok(founder !== undefined);
  const held = new Set<number>();
  for (let n = 0; n <= GRANT_BLOCK_SIZE; n++) {
    const next = mesh.join(`guest-${n}`, founder);
    untilEqualRecords(mesh, [...nodes, next], 70_000);
    untilAllReach(mesh, pairsOf([...nodes, next]), 20_000);
    const { number } = next.status().self;
    if (held.has(number)) return;
    held.add(number);
    commanded(mesh, next, { isForced: false });
    next.crash();
    assert.ok(mesh.clock.advanceUntil(HEARD_WITHIN, () => nodes.every((node) => stateOf(node, next) === "not a member"), 20));
  }
  assert.fail(`${[...held].join()}`);
});

runSeeds("who was down and is up again where it was is alive for those, too, that slept through both", 10, ({ random, open }) => {
  const mesh = open(CLEAN);
  const nodes = meshOf(mesh, 4);
  const [, sleeper, stopped] = nodes;
  assert.ok(sleeper !== undefined && stopped !== undefined);
  untilEqualRecords(mesh, nodes, 70_000);
  mesh.clock.advance(60_000);
  sleeper.crash();
  mesh.clock.advance(random.below(5_000));
  stopped.stop();
  mesh.clock.advance(3_000);
  stopped.restart();
  mesh.clock.advance(random.below(10_000));
  sleeper.restart();
  untilEqualRecords(mesh, nodes, 70_000);
  for (const node of nodes) assert.deepEqual(stoppedByRecordsOf(mesh, node), [], node.name);
  untilAllReach(mesh, pairsOf(nodes), 20_000);
});

for (const isRestarted of [false, true])
  runSeeds(
    `who is behind a NAT${isRestarted ? ", and started anew," : ""} finds the only member that can be dialled when it is back from its goodbye`,
    5,
    (run) => {
      const mesh = run.open(CLEAN);
      const founder = mesh.found("founder");
      const siteOf = (name: string, ip: string): { readonly site: SimSite } => ({
        site: mesh.network.addSite(name, { kind: NAT_KINDS["eimr-apdf"], publicIps: [ip as Ip] }),
      });
      const inside = ["a", "b"].map((name, i) => mesh.join(name, founder, siteOf(`home of ${name}`, `198.51.100.${i + 1}`)));
      const nodes = [founder, ...inside];
      untilEqualRecords(mesh, nodes, 70_000);
      mesh.clock.advance(20_000);
      founder.stop();
      mesh.clock.advance(5_000);
      if (isRestarted) for (const node of inside) node.crash();
      mesh.clock.advance(run.random.below(600_000));
      founder.restart();
      mesh.clock.advance(run.random.below(10_000));
      if (isRestarted) for (const node of inside) node.restart();
      const isBack = (): boolean => inside.every((node) => stateOf(node, founder) === "alive");
      assert.ok(mesh.clock.advanceUntil(60_000, isBack, 100), inside.map((node) => `${node.name}: ${stateOf(node, founder)}`).join());
      untilAllReach(mesh, pairsOf(nodes), 20_000);
    },
  );

runSeeds("killed in the middle of leaving, a node has left, or it has not: its state says which", 20, ({ random, open }) => {
  const mesh = open(CLEAN);
  const nodes = meshOf(mesh, 3);
  const [, leaver, other] = nodes;
  assert.ok(leaver !== undefined && other !== undefined);
  untilAllReach(mesh, pairsOf(nodes), 10_000);

  leaver.command({ type: "leave", isForced: false }, () => {});
  mesh.clock.advance(random.next() * 10);
  leaver.crash();
  leaver.restart();
  mesh.clock.advance(70_000);
  if (leaver.hasLeftOnDisk) {
    // As the agent does at such a start: what it had decided is finished.
    if (stateOf(other, leaver) !== "not a member") assert.equal(commanded(mesh, leaver, { isForced: true }).type, "leave");
    mesh.clock.advance(HEARD_WITHIN);
    assert.equal(stateOf(other, leaver), "not a member");
    return;
  }
  assert.equal(stateOf(other, leaver), "alive", "told before it was written");
  untilAllReach(mesh, pairsOf(nodes), 10_000);
  untilEqualRecords(mesh, nodes, 70_000);
});

runSeeds("the root key does not leave by accident", 3, ({ open }) => {
  const mesh = open(CLEAN);
  const [founder, other] = meshOf(mesh, 2);
  assert.ok(founder !== undefined && other !== undefined);
  untilAllReach(mesh, pairsOf([founder, other]), 10_000);
  const refused = commanded(mesh, founder, { isForced: false });
  assert.ok(refused.type === "failed" && refused.error.code === "leave/holds-root");
  assert.equal(stateOf(other, founder), "alive");
  const left = commanded(mesh, founder, { isForced: true });
  assert.equal(left.type, "leave");
  mesh.clock.advance(HEARD_WITHIN);
  assert.equal(stateOf(other, founder), "not a member");
});

runSeeds("nobody leaves unheard, and who asks twice waits for the same answer", 3, ({ open }) => {
  const mesh = open(CLEAN);
  const [, leaver] = meshOf(mesh, 2);
  assert.ok(leaver !== undefined);
  untilAllReach(mesh, pairsOf(mesh.nodes), 10_000);
  mesh.network.cut("n0", "n1");
  mesh.clock.advance(30_000);
  const refused = commanded(mesh, leaver, { isForced: false });
  assert.ok(refused.type === "failed" && refused.error.code === "leave/unheard", JSON.stringify(refused));
  assert.equal(leaver.hasLeftOnDisk, false);

  const told: string[] = [];
  const note = (result: CommandResult): void => void told.push(result.type);
  leaver.command({ type: "leave", isForced: true }, note);
  leaver.command({ type: "leave", isForced: true }, note);
  assert.deepEqual(told, []);
  assert.ok(
    leaver.status().health.some(({ text }) => text === "this node left the network"),
    "it says so while it tells the others",
  );
  leaver.stop();
  assert.ok(leaver.isRunning, "it ends when the others were told");
  mesh.clock.advance(5_000);
  assert.deepEqual(told, ["leave", "leave"]);
  assert.equal(leaver.isRunning, false);
});

runSeeds("an agent that ends against its will is not said to have left", 3, ({ open }) => {
  const mesh = open(CLEAN);
  const [other, broken] = meshOf(mesh, 2);
  assert.ok(other !== undefined && broken !== undefined);
  untilAllReach(mesh, pairsOf(mesh.nodes), 10_000);
  broken.dispatch({ type: "stopping", isWanted: false });
  assert.equal(broken.isRunning, false);
  other.send(broken);
  mesh.clock.advance(30_000);
  assert.equal(stateOf(other, broken), "failed");
});

function meshOf(mesh: SimMesh, size: number): readonly SimNode[] {
  const founder = mesh.found("n0");
  const nodes = [founder];
  for (let i = 1; i < size; i++) nodes.push(mesh.join(`n${i}`, founder));
  untilEqualRecords(mesh, nodes, 10_000);
  return nodes;
}

function commanded(mesh: SimMesh, node: SimNode, options: { readonly isForced: boolean }): CommandResult {
  let result: CommandResult | undefined;
  node.command({ type: "leave", ...options }, (told) => {
    result = told;
  });
  assert.ok(mesh.clock.advanceUntil(5_000, () => result !== undefined, 1));
  return result ?? assert.fail();
}

/** Nodes whose last word is their goodbye, as this one knows. */
function stoppedByRecordsOf(mesh: SimMesh, node: SimNode): readonly string[] {
  const opener = new RecordOpener(mesh.crypto);
  return recordsOf(node).flatMap((bytes) => {
    const record = opener.open(bytes);
    return record.ok && record.value.content.type === "endpoint" && record.value.content.endpoint.isStopped ? [record.value.author] : [];
  });
}
