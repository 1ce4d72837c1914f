import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "../../node-crypto.ts";
import { addressPlan } from "../address/address-plan.ts";
import type { Endpoint } from "../address/endpoint.ts";
import { parseIp } from "../address/ip.ts";
import { parsePrefix } from "../address/prefix.ts";
import { type NodeId, nodeId, nodeKey } from "../ids/node-id.ts";
import { ProbeExchange } from "../path/probe-exchange.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { Counters } from "./counters.ts";
import type { NodeEffect } from "./node-effect.ts";
import { Peers } from "./peers.ts";

const crypto = nodeCrypto();
const random = new SeededRandom(1);
const plan = addressPlan(parsePrefix("10.77.0.0/16") ?? assert.fail(), 24, new Uint8Array(32));
const keys = Array.from({ length: 4 }, () => crypto.signingKey(random.bytes(32)));
const [own = assert.fail(), ...others] = keys;
const [x = assert.fail(), y = assert.fail()] = others.map((key) => nodeId(key.publicKey));

function peers(): { readonly peers: Peers; readonly counters: Counters } {
  const counters = new Counters();
  return {
    counters,
    peers: new Peers({
      crypto,
      random,
      key: crypto.agreementKeyOf(own),
      counters,
      plan,
      stampFloor: 0,
      onPong: () => [],
      onReserve: () => [],
    }),
  };
}

const at = (ip: string, port = 51_820): Endpoint => ({ ip: parseIp(ip) ?? assert.fail(ip), port });

/** A PING of this peer to us. */
function pingOf(peer: NodeId): Uint8Array {
  const key = others.find(({ publicKey }) => nodeId(publicKey) === peer) ?? assert.fail();
  const exchange = new ProbeExchange({ crypto, random, key: crypto.agreementKeyOf(key) });
  exchange.addPeer(0, crypto.agreementPublicKeyOf(nodeKey(nodeId(own.publicKey))) ?? assert.fail());
  return exchange.ping(0, at("192.0.2.9"), { purpose: "discover", now: 0 }) ?? assert.fail();
}

const datagrams = (effects: readonly NodeEffect[]): number => effects.filter(({ type }) => type === "send-datagram").length;

test("a slot changes hands only over a table without it, so that what waits for one peer never goes to another", () => {
  const { peers: all } = peers();
  all.setPeers(new Set([x]), 0);
  const slot = all.slotOf(x);
  all.setPeers(new Set([y]), 1);
  assert.notEqual(all.slotOf(y), slot);
  all.setPeers(new Set([y, x]), 2);
  assert.equal(all.slotOf(x), slot, "after that table it is free again");
});

for (const [ip, what] of [
  ["10.77.3.1", "inside the mesh"],
  ["fd00::5", "inside the mesh, by IPv6"],
  ["224.0.0.1", "a group"],
  ["0.0.0.0", "no address"],
] as const) {
  test(`what comes from ${ip}, ${what}, is neither answered nor becomes a path`, () => {
    const { peers: all, counters } = peers();
    all.setPeers(new Set([x]), 0);
    const probe = pingOf(x);
    assert.deepEqual(all.exception({ type: "datagram", from: at(ip), receivedAt: 1, bytes: probe }, 1), []);
    assert.deepEqual(counters.view(), { "udp.sourceNotUsable": 1 });
    assert.equal(all.peer(x)?.path.candidates.length, 0);
    // The same from outside is answered, and asked back.
    assert.equal(datagrams(all.exception({ type: "datagram", from: at("192.0.2.7"), receivedAt: 2, bytes: probe }, 2)), 2);
  });
}

test("claims that change all the time earn a peer's budget of probes, not a flood", () => {
  const { peers: all, counters } = peers();
  all.setPeers(new Set([x, y]), 0);
  let sent = datagrams(all.want(x, 0));
  for (let round = 0; round < 100; round++) {
    const claims = Array.from({ length: 16 }, (_, i) => at(`198.51.100.${1 + ((round * 16 + i) % 250)}`, 2_000 + round));
    sent += datagrams(all.setCandidates(x, claims, round * 10));
  }
  assert.ok(sent <= 100 + 20 * 1.1, `${sent} probes in a second`);
  assert.ok((counters.view()["probe.overBudget"] ?? 0) > 1_000);
  all.setCandidates(y, [at("192.0.2.1")], 1_000);
  assert.equal(datagrams(all.want(y, 1_000)), 1, "the others are not kept from theirs");
});

test("packets are unanswered from the first that nothing came back for, whatever was sent since, until something comes", () => {
  const { peers: all } = peers();
  all.setPeers(new Set([x]), 0);
  const slot = all.slotOf(x) ?? assert.fail();
  const none = { dataSentAt: 0, dataReceivedAt: 0, authenticatedSentAt: 0, authenticatedReceivedAt: 0, sendCounter: 0 };
  const after = (stamps: Partial<typeof none>): number | undefined => {
    all.traffic([{ slot, stamps: { ...none, ...stamps } }], 10);
    return all.peer(x)?.unansweredAt;
  };
  assert.equal(after({}), undefined);
  assert.equal(after({ dataSentAt: 5 }), 5);
  assert.equal(after({ dataSentAt: 9, authenticatedReceivedAt: 4 }), 5);
  assert.equal(after({ dataSentAt: 9, authenticatedReceivedAt: 6 }), 9);
  assert.equal(after({ dataSentAt: 9, authenticatedReceivedAt: 9 }), undefined);
});
