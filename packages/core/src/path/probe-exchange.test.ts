import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { randomInput } from "../bytes/check-codec-fixture.ts";
import { formatHex } from "../bytes/hex.ts";
import type { NodeId } from "../ids/node-id.ts";
import { crypto, idOf, keyOf } from "../membership/sample-network-fixture.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { NO_BOOT } from "../wire/probe.ts";
import { type Candidate, direct, relayed } from "./candidate.ts";
import { ProbeExchange, type ProbeOutcome, type ProbeSource } from "./probe-exchange.ts";

const at = (last: number, port = 51_820): Endpoint => ({ ip: `192.0.2.${last}` as Ip, port });
const [A, B, C] = [at(1), at(2), at(3)];
const tunnelKey = (name: string): Uint8Array => crypto.agreementKeyOf(keyOf(name)).publicKey;

/** A node just started; knows the named peers by slots from 0 on. */
function start(name: string, seed: number, peers: readonly string[]): ProbeExchange {
  const exchange = new ProbeExchange({ crypto, random: new SeededRandom(seed), key: crypto.agreementKeyOf(keyOf(name)) });
  for (const [slot, peer] of peers.entries()) exchange.addPeer(slot, tunnelKey(peer));
  return exchange;
}

function ping(exchange: ProbeExchange, slot: number, to: Endpoint | Candidate, now = 0): Uint8Array {
  return exchange.ping(slot, "type" in to ? to : direct(to), { purpose: "discover", now }) ?? assert.fail("no such peer");
}

/** A datagram that came straight from there. */
const straight = (endpoint: Endpoint): ProbeSource => ({ candidate: direct(endpoint), endpoint });

function pongOf(outcome: ProbeOutcome): Uint8Array {
  return outcome.type === "ping" ? outcome.pong : assert.fail(JSON.stringify(outcome));
}

const dropped = (cause: string): unknown => ({ type: "dropped", cause });
const when = (now: number): { receivedAt: number; now: number } => ({ receivedAt: now, now });

test("a PING is answered, and the PONG tells round trip and reflexive address", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["c", "a"])];
  const [bootA, bootB] = [1, 2].map((seed) => formatHex(new SeededRandom(seed).bytes(8)));
  const answer = b.receive(straight(at(9, 4_000)), ping(a, 0, B, 100), { receivedAt: 110, now: 117.5 });
  assert.deepEqual({ ...answer, pong: 0 }, { type: "ping", slot: 1, boot: bootA, purpose: "discover", pong: 0 });
  // 27.5 ms between PING and PONG, of which the peer took 7.5 ms to come to it.
  const heard = a.receive(straight(B), pongOf(answer), { receivedAt: 127.5, now: 500 });
  assert.deepEqual(heard, { type: "pong", slot: 0, boot: bootB, rtt: 20, observed: at(9, 4_000) });
});

test("a PONG is not larger than its PING, whatever the addresses and delays", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  for (const from of [A, { ip: "2001:db8::ffff" as Ip, port: 65_535 }]) {
    const asked = ping(a, 0, B);
    assert.ok(pongOf(b.receive(straight(from), asked, { receivedAt: 0, now: 1e9 })).length <= asked.length);
  }
});

test("a replayed PING and a replayed PONG are dropped", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  const asked = ping(a, 0, B);
  const pong = pongOf(b.receive(straight(A), asked, when(1)));
  assert.deepEqual(b.receive(straight(A), asked, when(2)), dropped("replayed"));
  assert.deepEqual(b.receive(straight(C), asked, when(2)), dropped("replayed"));
  assert.equal(a.receive(straight(B), pong, when(3)).type, "pong");
  assert.deepEqual(a.receive(straight(B), pong, when(4)), dropped("replayed"));
});

test("our own frames sent back are nobody's", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  const asked = ping(a, 0, B);
  const pong = pongOf(b.receive(straight(A), asked, when(1)));
  assert.deepEqual(a.receive(straight(B), asked, when(1)), dropped("unknown-key"));
  assert.deepEqual(b.receive(straight(A), pong, when(1)), dropped("unknown-key"));
});

test("a PONG counts from the address and port that was asked, and nowhere else", () => {
  for (const from of [C, at(2, 51_821)]) {
    const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
    const pong = pongOf(b.receive(straight(A), ping(a, 0, B), when(1)));
    assert.deepEqual(a.receive(straight(from), pong, when(2)), dropped("unasked"));
  }
});

test("a peer cannot answer for another", () => {
  const a = start("a", 1, ["b", "c"]);
  const b = start("b", 2, ["a"]);
  // The transaction of a PING to c, which c told b: b answers it with its own key, from c's address.
  const random = new SeededRandom(1);
  random.bytes(8); // a's boot id
  const transaction = random.bytes(8);
  ping(a, 1, C);
  const leaking = new ProbeExchange({ crypto, random: { bytes: () => transaction }, key: crypto.agreementKeyOf(keyOf("a")) });
  leaking.addPeer(0, tunnelKey("b"));
  const pong = pongOf(b.receive(straight(A), ping(leaking, 0, B), when(1)));
  assert.deepEqual(a.receive(straight(C), pong, when(2)), dropped("unasked"));
});

test("a PONG is taken for five seconds and no longer", () => {
  for (const [late, type] of [
    [5_000, "pong"],
    [5_001, "dropped"],
  ] as const) {
    const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
    const pong = pongOf(b.receive(straight(A), ping(a, 0, B, 0), when(1)));
    assert.equal(a.receive(straight(B), pong, when(late)).type, type);
  }
});

test("a PONG nobody asked for is dropped, also one to a node that started anew", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  const pong = pongOf(b.receive(straight(A), ping(a, 0, B), when(1)));
  assert.deepEqual(start("a", 3, ["b"]).receive(straight(B), pong, when(2)), dropped("unasked"));
});

test("a peer that starts anew is heard at once, and frames of its older boot are worth one answer at most", () => {
  const [old, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  const [seen, kept] = [ping(old, 0, B), ping(old, 0, B)];
  b.receive(straight(A), seen, when(1));
  const young = start("a", 3, ["b"]);
  assert.equal(b.receive(straight(A), ping(young, 0, B), when(2)).type, "ping");
  assert.deepEqual(b.receive(straight(A), seen, when(3)), dropped("replayed"));
  assert.deepEqual([b.receive(straight(C), kept, when(4)).type, b.receive(straight(C), kept, when(5))], ["ping", dropped("replayed")]);
});

test("counters: late ones are taken once within the window, and a node's own never repeat", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  const pings = Array.from({ length: 70 }, () => ping(a, 0, B));
  assert.equal(new Set(pings.map((bytes) => bytes.subarray(24, 32).join())).size, 70);
  const types = [69, 68, 6, 5, 69, 68].map((i) => b.receive(straight(A), pings[i] ?? assert.fail(), when(1)).type);
  assert.deepEqual(types, ["ping", "ping", "ping", "dropped", "dropped", "dropped"]);
});

test("strangers, forged key ids and every flipped bit get no answer", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  assert.deepEqual(b.receive(straight(C), ping(start("stranger", 5, ["b"]), 0, B), when(1)), dropped("unknown-key"));
  const asked = ping(a, 0, B);
  for (let bit = 32; bit < asked.length * 8; bit++) {
    // behind the magic, by which the caller chose us
    const flipped = asked.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(b.receive(straight(A), flipped, when(1)).type, "dropped", `bit ${bit}`);
  }
  assert.equal(b.receive(straight(A), asked, when(1)).type, "ping");
});

test("forged frames do not touch the window: the true one is still taken", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  const asked = ping(a, 0, B);
  const ahead = asked.slice().fill(0xff, 24, 32);
  assert.deepEqual(b.receive(straight(A), ahead, when(1)), dropped("not-authentic"));
  assert.equal(b.receive(straight(A), asked, when(1)).type, "ping");
});

test("seed 9: 20,000 random frames earn no answer", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  const asked = ping(a, 0, B);
  b.receive(straight(A), asked, when(1));
  const random = new SeededRandom(9);
  for (let run = 0; run < 20_000; run++)
    assert.equal(b.receive(straight(A), randomInput(random, [asked]), when(1)).type, "dropped", `run ${run}`);
});

test("a removed peer is not asked, not answered, and answers nothing any more", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  const asked = ping(a, 0, B);
  const pong = pongOf(b.receive(straight(A), asked, when(1)));
  a.removePeer(0);
  a.removePeer(0);
  assert.equal(a.ping(0, direct(B), { purpose: "heartbeat", now: 2 }), undefined);
  assert.deepEqual(a.receive(straight(B), pong, when(2)), dropped("unknown-key"));
  a.addPeer(0, tunnelKey("b"));
  assert.deepEqual(a.receive(straight(B), pong, when(3)), dropped("unasked"));
});

test("a peer whose key agrees with nobody is not there", () => {
  const a = start("a", 1, []);
  a.addPeer(0, new Uint8Array(32));
  assert.equal(a.ping(0, direct(B), { purpose: "discover", now: 0 }), undefined);
});

test("of more than 4,096 PINGs under way the oldest is forgotten", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  const first = pongOf(b.receive(straight(A), ping(a, 0, B), when(0)));
  const second = pongOf(b.receive(straight(A), ping(a, 0, B), when(0)));
  for (let i = 0; i < 4_095; i++) ping(a, 0, B);
  assert.deepEqual(a.receive(straight(B), first, when(1)), dropped("unasked"));
  assert.equal(a.receive(straight(B), second, when(1)).type, "pong");
});

test("a relayed PING is answered as any other, and its PONG counts by the relay that was asked by, not by another, and not straight", () => {
  const [relay, other] = [idOf("c"), idOf("d")];
  const by = (node: NodeId): ProbeSource => ({ candidate: relayed(node), endpoint: C });
  for (const [from, type] of [
    [by(relay), "pong"],
    [by(other), "dropped"],
    [straight(B), "dropped"],
    [straight(C), "dropped"],
  ] as const) {
    const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
    const pong = pongOf(b.receive(by(relay), ping(a, 0, relayed(relay)), when(1)));
    const heard = a.receive(from, pong, when(2));
    assert.equal(heard.type, type);
    if (heard.type === "pong") assert.deepEqual(heard.observed, C, "the relay's address, and not ours");
  }
});

test("a PONG to a PING that went straight does not count by a relay", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["a"])];
  const pong = pongOf(b.receive(straight(A), ping(a, 0, B), when(1)));
  assert.deepEqual(a.receive({ candidate: relayed(idOf("c")), endpoint: B }, pong, when(2)), dropped("unasked"));
});

test("an offer arrives with its endpoints, once, and asks for no PONG", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["c", "a"])];
  for (const isAnswer of [false, true]) {
    const offer = { type: "offer", mapping: "none", own: [A], reflexive: [C], isAnswer } as const;
    const bytes = a.frame(0, offer) ?? assert.fail();
    const outcome = b.receive({ candidate: relayed(idOf("c")), endpoint: C }, bytes, when(1));
    assert.deepEqual(outcome, { ...offer, to: NO_BOOT, slot: 1, boot: formatHex(new SeededRandom(1).bytes(8)), isCurrent: false });
    assert.deepEqual(b.receive(straight(A), bytes, when(2)), dropped("replayed"));
  }
  assert.equal(a.frame(1, { type: "locate", number: 1 }), undefined, "nobody is there");
});

test("an offer is for the run of the receiver that was heard last, and for no other", () => {
  const a = start("a", 1, ["b"]);
  const said = (): Uint8Array => a.frame(0, { type: "offer", own: [A], reflexive: [], isAnswer: false, mapping: "none" }) ?? assert.fail();
  const isCurrent = (receiver: ProbeExchange, bytes: Uint8Array): boolean | undefined => {
    const outcome = receiver.receive(straight(A), bytes, when(1));
    return outcome.type === "offer" ? outcome.isCurrent : undefined;
  };
  const hear = (speaker: ProbeExchange): void => {
    const ping = speaker.ping(0, direct(A), { purpose: "discover", now: 0 }) ?? assert.fail();
    assert.equal(a.receive(straight(B), ping, when(1)).type, "ping");
  };
  const [before, since] = [start("b", 2, ["a"]), start("b", 3, ["a"])];
  assert.equal(isCurrent(before, said()), false, "nobody was heard yet");
  hear(before);
  const old = said();
  assert.equal(isCurrent(before, old), true);
  assert.equal(isCurrent(since, old), false);
  hear(since);
  assert.equal(isCurrent(since, said()), true);
  assert.equal(isCurrent(before, said()), false);
});

test("passes: what one end shows is what the other expects; a peer that is not known has none", () => {
  const [a, b] = [start("a", 1, ["b"]), start("b", 2, ["c", "a"])];
  const [ofA, ofB] = [a.passes(0) ?? assert.fail(), b.passes(1) ?? assert.fail()];
  assert.deepEqual([ofA.ours, ofA.theirs], [ofB.theirs, ofB.ours]);
  assert.equal(a.passes(1), undefined);
});
