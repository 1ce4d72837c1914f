import assert from "node:assert/strict";
import { test } from "node:test";
import { type Endpoint, parseEndpoint } from "../address/endpoint.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { direct, relayed } from "../path/candidate.ts";
import { PeerWays } from "./peer-ways.ts";

const at = (text: string): Endpoint => parseEndpoint(text) ?? assert.fail(text);
const [HERE, THERE, PEER_AT] = [at("192.0.2.1:51820"), at("192.0.2.2:51820"), at("192.0.2.3:51820")];
const [peer, relay, other] = [idOf("peer"), idOf("relay"), idOf("other")];
const [PEER, RELAY, OTHER] = [0, 1, 2];

/** We are number 4; the relay is 5 and where it says, the peer is 6. */
function ways(): PeerWays {
  const all = new PeerWays();
  all.ownNumber = 4;
  all.set(PEER, { node: peer, number: 6, pass: 66 });
  all.set(RELAY, { node: relay, number: 5, pass: 55 });
  all.use(RELAY, [direct(HERE)]);
  return all;
}

test("a straight way needs nothing; one by a relay goes where the relay's own packets go, with both numbers and what it is shown", () => {
  const all = ways();
  assert.deepEqual(all.wayOf(PEER, direct(PEER_AT)), { endpoint: PEER_AT });
  assert.deepEqual(all.wayOf(PEER, relayed(relay)), { endpoint: HERE, relay: { from: 4, to: 6, pass: 55 } });
});

test("there is no way by a relay that is nobody, that is nowhere, or that is relayed to itself", () => {
  const all = ways();
  all.set(OTHER, { node: other, number: 7, pass: 77 });
  assert.equal(all.wayOf(PEER, relayed(idOf("nobody"))), undefined);
  assert.equal(all.wayOf(PEER, relayed(other)), undefined, "no path");
  all.use(OTHER, [relayed(relay), direct(THERE)]);
  assert.equal(all.wayOf(PEER, relayed(other)), undefined, "one hop only");
  all.use(RELAY, []);
  assert.equal(all.wayOf(PEER, relayed(relay)), undefined);
});

test("there is no way by a relay without numbers: ours, or the peer's", () => {
  const all = ways();
  all.set(PEER, { node: peer, number: undefined, pass: 66 });
  assert.equal(all.wayOf(PEER, relayed(relay)), undefined);
  assert.equal(all.numberOf(PEER), undefined);
  const nameless = ways();
  nameless.ownNumber = undefined;
  assert.equal(nameless.wayOf(PEER, relayed(relay)), undefined);
  assert.equal(nameless.back({ endpoint: HERE, relay: { from: 6, to: 4, pass: 0 } }), undefined);
});

test("ways by a relay move when it does, and it says so only then", () => {
  const all = ways();
  assert.equal(all.use(RELAY, [direct(HERE), relayed(other)]), false);
  assert.equal(all.use(RELAY, [direct(THERE)]), true);
  assert.deepEqual(all.wayOf(PEER, relayed(relay))?.endpoint, THERE);
  assert.equal(all.use(RELAY, [relayed(other)]), true);
  assert.equal(all.use(RELAY, []), false);
  assert.equal(all.use(RELAY, [direct(HERE)]), true);
});

test("what was relayed is known by the address of the relay, as it is now, and goes back by it", () => {
  const all = ways();
  const header = { from: 6, to: 4, pass: 0 };
  assert.deepEqual(all.candidateOf({ endpoint: HERE, relay: header }), relayed(relay));
  assert.deepEqual(all.back({ endpoint: HERE, relay: header }), { endpoint: HERE, relay: { from: 4, to: 6, pass: 55 } });
  assert.equal(all.candidateOf({ endpoint: { ...HERE, port: 1 }, relay: header }), undefined);
  assert.equal(all.back({ endpoint: THERE, relay: header }), undefined);
  all.use(RELAY, [direct(THERE)]);
  assert.equal(all.candidateOf({ endpoint: HERE, relay: header }), undefined);
  assert.deepEqual(all.candidateOf({ endpoint: THERE, relay: header }), relayed(relay));
});

test("what came straight is a candidate of its own, and goes back by the way it came, socket and all", () => {
  const from = { endpoint: PEER_AT, socket: 3 };
  assert.deepEqual(ways().candidateOf(from), direct(PEER_AT, 3));
  assert.deepEqual(ways().candidateOf({ endpoint: PEER_AT, socket: 0 }), direct(PEER_AT));
  assert.deepEqual(ways().back(from), from);
});

test("the number in a relayed datagram must be its sender's", () => {
  const all = ways();
  const by = (from: number): boolean => all.isFrom(PEER, { endpoint: HERE, relay: { from, to: 4, pass: 0 } });
  assert.deepEqual([by(6), by(5)], [true, false]);
  assert.equal(all.isFrom(PEER, { endpoint: HERE }), true, "straight: no number is said");
  all.set(PEER, { node: peer, number: undefined, pass: 66 });
  assert.equal(by(6), false);
});

test("a peer that is gone is no relay, and its address is nobody's; a slot's next peer has ways of its own", () => {
  const all = ways();
  all.delete(RELAY);
  assert.equal(all.wayOf(PEER, relayed(relay)), undefined);
  assert.equal(all.candidateOf({ endpoint: HERE, relay: { from: 6, to: 4, pass: 0 } }), undefined);
  all.set(RELAY, { node: other, number: 8, pass: 88 });
  assert.equal(all.wayOf(PEER, relayed(relay)), undefined);
  assert.equal(all.wayOf(PEER, relayed(other)), undefined, "nobody knows where it is");
});

test("of two peers at one address the last one is meant, and when the first moves away the other stays", () => {
  const all = ways();
  all.set(OTHER, { node: other, number: 7, pass: 77 });
  all.use(OTHER, [direct(HERE)]);
  all.use(RELAY, [direct(THERE)]);
  assert.deepEqual(all.candidateOf({ endpoint: HERE, relay: { from: 6, to: 4, pass: 0 } }), relayed(other));
});
