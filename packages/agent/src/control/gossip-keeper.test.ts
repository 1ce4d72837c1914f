import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type NodeId, nodeId } from "@mesh/core/ports";
import { ANSWER_TIMEOUT, ROUTINE_LOOK } from "./gossip-health.ts";
import type { GossipHello } from "./gossip-hello.ts";
import { CUT_INTERVAL, GossipKeeper } from "./gossip-keeper.ts";
import { SettlingClock } from "./settling-clock-fixture.ts";

const SMALL: NodeId = nodeId(new Uint8Array(32));
const LARGE: NodeId = nodeId(new Uint8Array(32).fill(255));

interface Scene {
  readonly keeper: GossipKeeper;
  readonly clock: SettlingClock;
  readonly peer: NodeId;
  readonly done: string[];
  readonly told: GossipHello[];
  flows: boolean;
  /** The peer answers questions. */
  answers: boolean;
  healWorks: boolean;
}

function scene(self: NodeId = SMALL): Scene {
  const clock = new SettlingClock();
  const done: string[] = [];
  const told: GossipHello[] = [];
  const peer = self === SMALL ? LARGE : SMALL;
  let nonces = 0;
  const keeper = new GossipKeeper({
    self,
    clock,
    nonce: () => new Uint8Array(16).fill(++nonces),
    flows: () => made.flows,
    tell: (_node, hello) => {
      told.push(hello);
      if (made.answers && made.flows && hello.kind === "question")
        clock.at(clock.now() + 10, () => keeper.heard(peer, { kind: "answer", nonce: hello.nonce }));
    },
    heal: () => {
      done.push(`heal ${clock.now()}`);
      if (made.healWorks) Object.assign(made, { flows: true, answers: true });
    },
    cut: () => done.push(`cut ${clock.now()}`),
    onProven: () => {},
    onReady: () => done.push(`ready ${clock.now()}`),
    onHealed: () => done.push(`healed ${clock.now()}`),
  });
  const made: Scene = { keeper, clock, peer, done, told, flows: true, answers: true, healWorks: true };
  return made;
}

describe("gossip keeper", () => {
  it("asks once when the link opens, and no more", async () => {
    const { keeper, clock, peer, done, told } = scene();
    keeper.opened(peer);
    keeper.opened(peer);
    await clock.advance(600_000);
    assert.deepEqual(done, ["ready 0"]);
    assert.deepEqual([told.length, keeper.counts], [1, { asked: 1, answered: 1, heals: 0, cuts: 0 }]);
  });

  it("answers what a neighbour asks", () => {
    const { keeper, peer, told } = scene();
    const nonce = new Uint8Array(16).fill(9);
    keeper.heard(peer, { kind: "question", nonce });
    assert.deepEqual(told, [{ kind: "answer", nonce }]);
  });

  it("answers a neighbour that asks and asks at a pace", async () => {
    const { keeper, clock, peer, told } = scene();
    const ask = (): number => {
      told.length = 0;
      for (let i = 0; i < 1_000; i++) keeper.heard(peer, { kind: "question", nonce: new Uint8Array(16).fill(i) });
      return told.filter(({ kind }) => kind === "answer").length;
    };
    assert.equal(ask(), 64);
    await clock.advance(2_000);
    assert.equal(ask(), 20);
  });

  it("takes no other answer than to its last question, and that once", async () => {
    const made = scene();
    const { keeper, clock, peer, told } = made;
    made.answers = false;
    keeper.opened(peer);
    keeper.heard(peer, { kind: "answer", nonce: new Uint8Array(16).fill(99) });
    assert.equal(keeper.counts.answered, 0);
    const [question] = told;
    assert.ok(question !== undefined);
    for (let i = 0; i < 3; i++) keeper.heard(peer, { kind: "answer", nonce: question.nonce });
    assert.equal(keeper.counts.answered, 1);
    await clock.advance(ANSWER_TIMEOUT);
    assert.deepEqual(made.done, ["ready 0"]);
  });

  it("heals a link whose books are good and that delivers nothing", async () => {
    const made = scene();
    made.answers = false;
    made.keeper.opened(made.peer);
    await made.clock.advance(10_000);
    assert.deepEqual(made.done, ["ready 0", "heal 3000", "healed 3030"]);
  });

  it("looks when one of several connections closed, and when it is told to doubt", async () => {
    const made = scene();
    made.keeper.opened(made.peer);
    await made.clock.advance(100);
    made.flows = false;
    made.keeper.reduced(made.peer);
    await made.clock.advance(2_000);
    assert.deepEqual(made.done, ["ready 0", "heal 600", "healed 630"]);
    made.answers = false;
    made.keeper.doubtAll();
    await made.clock.advance(4_000);
    assert.deepEqual(made.done.slice(3), ["heal 5100", "healed 5130"]);
  });

  it("cuts the connection when nothing helps, and then not again for ten minutes", async () => {
    const made = scene();
    Object.assign(made, { flows: false, healWorks: false });
    for (let link = 0; link < 3; link++) {
      made.keeper.opened(made.peer);
      await made.clock.advance(60_000);
      made.keeper.closed(made.peer);
    }
    assert.equal(made.keeper.counts.cuts, 1);
    await made.clock.advance(CUT_INTERVAL);
    made.keeper.opened(made.peer);
    await made.clock.advance(60_000);
    assert.equal(made.keeper.counts.cuts, 2);
  });

  it("leaves no timer behind", async () => {
    const { keeper, clock, peer } = scene();
    keeper.opened(peer);
    await clock.advance(ROUTINE_LOOK);
    keeper.closed(peer);
    keeper.opened(peer);
    await clock.advance(10);
    keeper.close();
    keeper.reduced(peer);
    keeper.doubtAll();
    assert.equal(clock.pending, 0);
  });
});
