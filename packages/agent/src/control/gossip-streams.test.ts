import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { NodeId } from "@mesh/core/ports";
import { pino } from "pino";
import { type Gossip, joinTopic } from "./gossip.ts";
import { gossipFlows, reopenGossip, resetGossip } from "./gossip-streams.ts";
import { HandshakeDeadline } from "./handshake-deadline.ts";
import { type Libp2pNode, startLibp2p } from "./libp2p-node.ts";
import { memberEncrypter } from "./member-encrypter.ts";
import { credentialsOf, eventually, LOOPBACK, nodeOfSeed, realClock, seedOf, TOPIC } from "./member-fixture.ts";
import { Refusals } from "./refusals.ts";
import { testRecord } from "./test-records-fixture.ts";

interface Side {
  readonly mesh: Libp2pNode;
  readonly node: NodeId;
  readonly port: number;
  readonly received: Uint8Array[];
}

async function openSide(name: string): Promise<Side> {
  const node = await nodeOfSeed(seedOf(name));
  const received: Uint8Array[] = [];
  const queries = { credentials: () => credentialsOf(node), refuseMember: () => undefined };
  const deadline = new HandshakeDeadline(realClock, () => {});
  const refusals = new Refusals(realClock, () => {});
  const log = pino({ level: "silent" });
  const encrypters = [memberEncrypter({ clock: realClock, queries, onRefused: () => {}, onCredentials: () => {} })];
  const mesh = await startLibp2p({
    seed: seedOf(name),
    topic: TOPIC,
    clock: realClock,
    log,
    encrypters,
    deadline,
    refusals,
    isRemoved: () => false,
  });
  joinTopic(mesh.libp2p.services.gossip, {
    topic: TOPIC,
    judge: (record) => (record.length < 40 ? "reject" : "accept"),
    onRecord: (record) => received.push(record),
    onRejected: () => {},
    onHello: () => {},
  });
  return { mesh, node, received, port: await mesh.listen({ ip: LOOPBACK, port: 0 }) };
}

describe("gossip streams", () => {
  let a: Side;
  let b: Side;
  before(async () => {
    [a, b] = [await openSide("streams-a"), await openSide("streams-b")];
  });
  after(() => Promise.all([a, b].map(async ({ mesh }) => await mesh.libp2p.stop())));

  it("die when one of two connections closes, are seen to be dead, and flow again when opened anew", async () => {
    const dial = () => a.mesh.dial(b.node, { ip: LOOPBACK, port: b.port }, new AbortController().signal);
    const flows = (): boolean => gossipFlows(a.mesh, TOPIC, b.node) && gossipFlows(b.mesh, TOPIC, a.node);
    const first = await dial();
    await eventually("gossip flows", flows);
    await dial();
    first.abort(new Error("the peer moved"));
    await eventually("the router knows", () => !flows());

    const lost = testRecord("published while gossip was dead");
    const { recipients } = await a.mesh.libp2p.services.gossip.publish(TOPIC, lost);
    assert.equal(recipients.length, 0, "gossipsub repairs its streams by itself now: the keeper may go");

    resetGossip(a.mesh, b.node);
    await eventually("it was forgotten", () => !a.mesh.libp2p.services.gossip.streamsInbound.has(b.mesh.libp2p.peerId.toString()));
    await reopenGossip(a.mesh, b.node);
    await eventually("gossip flows again", flows);
    const record = testRecord("published after it was opened anew");
    await a.mesh.libp2p.services.gossip.publish(TOPIC, record);
    await eventually("it came", () => b.received.some((one) => Buffer.compare(one, record) === 0));
  });

  it("end on both sides when they are reset", async () => {
    resetGossip(a.mesh, b.node);
    const [idOfA, idOfB] = [a, b].map(({ mesh }) => mesh.libp2p.peerId.toString());
    await eventually("both forgot", () => {
      const known = [
        a.mesh.libp2p.services.gossip.streamsInbound.has(idOfB ?? ""),
        b.mesh.libp2p.services.gossip.streamsInbound.has(idOfA ?? ""),
      ];
      return !known.includes(true);
    });
    await reopenGossip(a.mesh, b.node);
    await eventually("gossip flows again", () => gossipFlows(a.mesh, TOPIC, b.node) && gossipFlows(b.mesh, TOPIC, a.node));
  });

  it("are not listened to after some rejected records", async () => {
    const id = a.mesh.libp2p.peerId.toString();
    // Its type does not say that the router has this.
    const gossip = b.mesh.libp2p.services.gossip as Gossip & { acceptFrom(peer: string): boolean };
    assert.equal(gossip.acceptFrom(id), true);
    for (let i = 0; i < 12; i++) await a.mesh.libp2p.services.gossip.publish(TOPIC, Buffer.of(i));
    await eventually("it is blamed", () => !gossip.acceptFrom(id));
  });

  it("say nothing about a node without a connection", async () => {
    const nobody = await nodeOfSeed(seedOf("nobody"));
    assert.equal(gossipFlows(a.mesh, TOPIC, nobody), false);
    resetGossip(a.mesh, nobody);
    await reopenGossip(a.mesh, nobody);
  });
});
