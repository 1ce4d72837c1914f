import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nodeCrypto } from "../../node-crypto.ts";
import type { DatapathCounter, DatapathSession } from "../ports/datapath.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { EngineRig, endpoint, packet, route, sessionPair } from "./engine-fixture.ts";
import { STAGED_FOR } from "./staging.ts";
import { TransportSession } from "./transport-session.ts";

// What the port's suite (packages/datapath/src/suite) cannot show from outside: time, chance and full queues.

const [HERE, THERE] = ["10.0.0.1", "10.0.0.2"] as const;
const REMOTE = endpoint("192.0.2.1");
const OUT = packet(HERE, THERE, 1, 2, 3);
const BACK = packet(THERE, HERE, 4, 5, 6);

describe("packets out", () => {
  test("a session is wanted at once, then once a second for as long as packets come", () => {
    const rig = rigWithPeer();
    for (let now = 0; now <= 3_000; now += 100) rig.engine.fromTun(OUT, now);
    assert.deepEqual(rig.exceptions, new Array(4).fill({ type: "session-wanted", slot: 0 }));
    rig.engine.setWays(0, [], 10_000);
    rig.engine.setWays(0, [{ endpoint: REMOTE }], 10_000); // nothing new came, but what waits still wants to leave
    assert.equal(rig.exceptions.length, 5);
  });

  test("when it cannot be told that a session is wanted, it is said with the next packet", () => {
    const rig = rigWithPeer();
    rig.hasRoom = false;
    rig.engine.fromTun(OUT, 0);
    rig.hasRoom = true;
    rig.engine.fromTun(OUT, 1);
    assert.deepEqual(rig.exceptions, [{ type: "session-wanted", slot: 0 }]);
    assert.equal(rig.engine.readCounters().exceptionsLost, 1);
  });

  test("what has waited for 90 s does not leave", () => {
    const rig = rigWithPeer();
    rig.engine.fromTun(packet(HERE, THERE, 1), 0);
    rig.engine.fromTun(packet(HERE, THERE, 2), 1);
    const [ours, theirs] = halves(sessionPair(1));
    rig.engine.installSession(ours, STAGED_FOR + 1);
    assert.deepEqual(open(rig, theirs), [packet(HERE, THERE, 2)]);
    assert.equal(rig.engine.readCounters().tunStagedOverflow, 1);
  });

  test("a session that has expired is none: the packet waits", () => {
    const rig = rigWithPeer();
    const [ours, theirs] = halves(sessionPair(1, { expiresAt: 1_000 }));
    rig.engine.installSession(ours, 0);
    rig.engine.fromTun(OUT, 999);
    rig.engine.fromTun(OUT, 1_000);
    assert.equal(open(rig, theirs).length, 1);
    assert.deepEqual(rig.exceptions, [{ type: "session-wanted", slot: 0 }]);
    rig.engine.sendKeepalive(0, 1_000);
    assert.equal(rig.takeSent().length, 0);
  });

  test("a packet longer than its header says is cut", () => {
    const rig = rigWithPeer();
    const [ours, theirs] = halves(sessionPair(1));
    rig.engine.installSession(ours, 0);
    rig.engine.fromTun(Uint8Array.of(...OUT, 9, 9, 9), 0);
    assert.deepEqual(open(rig, theirs), [OUT]);
    assert.equal(rig.engine.readTraffic(0).sentBytes, OUT.length);
  });
});

describe("packets in", () => {
  test("a responder's session that cannot be reported stays unconfirmed, and its packet is delivered", () => {
    const rig = rigWithPeer();
    const [ours, theirs] = halves(sessionPair(1, { role: "responder" }));
    rig.engine.installSession(ours, 0);
    rig.engine.fromTun(OUT, 0);
    rig.hasRoom = false;
    rig.receive(REMOTE, theirs.seal(BACK), 1);
    assert.deepEqual(rig.delivered, [BACK]);
    assert.equal(rig.sent.length, 0);
    assert.equal(rig.engine.readCounters().exceptionsLost, 1);
    rig.hasRoom = true;
    rig.receive(REMOTE, theirs.seal(new Uint8Array()), 2);
    assert.deepEqual(open(rig, theirs), [OUT]);
    assert.deepEqual(rig.exceptions.at(-1), { type: "session-confirmed", slot: 0, localIndex: ours.localIndex });
  });

  test("an IPv4-mapped IPv6 source does not pass as the IPv4 address in it", () => {
    const rig = rigWithPeer();
    const [ours, theirs] = halves(sessionPair(1));
    rig.engine.installSession(ours, 0);
    const mapped = packet("fd00::1", "fd00::2", 1);
    mapped.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2], 8);
    rig.receive(REMOTE, theirs.seal(mapped), 0);
    assert.equal(rig.engine.readCounters().udpSourceNotAllowed, 1);
    assert.deepEqual(rig.delivered, []);
  });

  test("data that is not deliverable was received all the same, and counts as no packet", () => {
    const rig = rigWithPeer();
    const [ours, theirs] = halves(sessionPair(1));
    rig.engine.installSession(ours, 0);
    rig.receive(REMOTE, theirs.seal(packet("10.9.9.9", HERE, 1)), 7);
    const { dataReceivedAt, authenticatedReceivedAt, receivedPackets } = rig.engine.readTraffic(0);
    assert.deepEqual([dataReceivedAt, authenticatedReceivedAt, receivedPackets], [7, 7, 0]);
  });

  test("a peer that roams without an endpoint gets one, and what waited leaves", () => {
    const rig = rigWithPeer({ isRoaming: true });
    const [ours, theirs] = halves(sessionPair(1));
    rig.engine.setWays(0, [], 0);
    rig.engine.installSession(ours, 0);
    rig.engine.fromTun(OUT, 0);
    assert.equal(rig.sent.length, 0);
    rig.receive(endpoint("198.51.100.7", 9), theirs.seal(new Uint8Array()), 1);
    assert.deepEqual(
      rig.sent.map(({ to }) => to),
      [{ endpoint: endpoint("198.51.100.7", 9), socket: 0 }],
    );
  });

  test("what the guard refuses is counted under its name; a key of 32 bytes opens it", () => {
    const rig = rigWithPeer();
    const initiation = new Uint8Array(148);
    initiation[0] = 1;
    const wrong: readonly (readonly [Uint8Array, DatapathCounter])[] = [
      [initiation, "handshakeNotForUs"],
      [initiation.subarray(1), "udpMalformed"],
      [Uint8Array.of(4, 0, 0, 0, ...new Array(27).fill(0)), "udpMalformed"],
      [Uint8Array.of(4, 0, 0, 1, ...new Array(28).fill(0)), "udpMalformed"],
      [Uint8Array.of(4, 0, 0, 0, ...new Array(28).fill(0)), "udpUnknownSession"],
    ];
    for (const [bytes, counter] of wrong) {
      const before = rig.engine.readCounters()[counter];
      rig.receive(REMOTE, bytes, 0);
      assert.equal(rig.engine.readCounters()[counter], before + 1);
    }
    rig.receive(REMOTE, Uint8Array.of(0x21, 0x6d, 0x73, 0x68, 5), 6);
    assert.deepEqual(rig.exceptions, [
      { type: "datagram", from: { endpoint: REMOTE, socket: 0 }, receivedAt: 6, bytes: Uint8Array.of(0x21, 0x6d, 0x73, 0x68, 5) },
    ]);
  });

  test("20,000 random and damaged datagrams, seed 1: each is counted, reported or delivered, none throws", () => {
    const rig = rigWithPeer();
    const random = new SeededRandom(1);
    const [ours, theirs] = halves(sessionPair(1));
    rig.engine.installSession(ours, 0);
    const samples = Array.from({ length: 20 }, () => theirs.seal(BACK));
    let keepalives = 0;
    for (let i = 0; i < 20_000; i++) {
      const bytes = random.next() < 0.5 ? random.bytes(random.below(200)) : (random.pick(samples) ?? BACK).slice();
      if (random.next() < 0.5) bytes.set(Uint8Array.of(random.below(6), 0, 0, 0).subarray(0, bytes.length));
      if (random.next() < 0.5 && bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
      const before = total(rig);
      rig.receive(REMOTE, bytes.subarray(0, random.next() < 0.2 ? random.below(bytes.length + 1) : bytes.length), i);
      if (total(rig) === before) keepalives++;
    }
    assert.equal(keepalives, 0);
  });
});

describe("peers and sessions", () => {
  test("a peer that is gone takes sessions and waiting packets with it; its slot begins anew", () => {
    const rig = rigWithPeer();
    const [ours, theirs] = halves(sessionPair(1));
    rig.engine.fromTun(OUT, 0);
    rig.engine.publishTable({ peers: [], roaming: [], routes: [] });
    rig.engine.publishTable({ peers: [0], roaming: [], routes: [route("10.0.0.2/32", 0)] });
    rig.engine.setWays(0, [{ endpoint: REMOTE }], 0);
    rig.engine.fromTun(OUT, 1);
    assert.equal(rig.exceptions.length, 2, "a new peer wants a session at once");
    rig.engine.installSession(ours, 1);
    assert.equal(open(rig, theirs).length, 1);
    rig.engine.clear();
    rig.receive(REMOTE, theirs.seal(BACK), 2);
    assert.equal(rig.engine.readCounters().udpUnknownSession, 1);
  });

  test("a table that cannot be changes nothing", () => {
    const rig = rigWithPeer();
    assert.throws(() => rig.engine.publishTable({ peers: [1], roaming: [], routes: [route("10.0.0.0/8", 0)] }), RangeError);
    assert.throws(() => rig.engine.publishTable({ peers: [1], roaming: [0], routes: [] }), RangeError);
    rig.engine.fromTun(OUT, 0);
    assert.deepEqual(rig.exceptions, [{ type: "session-wanted", slot: 0 }]);
  });

  test("the send counter is the current session's: 0 when that is dropped or new", () => {
    const rig = rigWithPeer();
    const [first] = sessionPair(1);
    rig.engine.installSession(first, 0);
    rig.engine.fromTun(OUT, 0);
    assert.equal(rig.engine.readTraffic(0).sendCounter, 1);
    rig.engine.installSession(sessionPair(2)[0], 0);
    assert.equal(rig.engine.readTraffic(0).sendCounter, 0);
    rig.engine.fromTun(OUT, 0);
    rig.engine.dropSession(1_001, 0);
    assert.equal(rig.engine.readTraffic(0).sendCounter, 1);
    rig.engine.dropSession(1_002, 0);
    assert.equal(rig.engine.readTraffic(0).sendCounter, 0);
  });
});

/** One peer, slot 0, at REMOTE, with the address THERE. */
function rigWithPeer({ isRoaming = false }: { readonly isRoaming?: boolean } = {}): EngineRig {
  const rig = new EngineRig();
  rig.engine.publishTable({ peers: [0], roaming: isRoaming ? [0] : [], routes: [route("10.0.0.2/32", 0)] });
  rig.engine.setWays(0, [{ endpoint: REMOTE }], 0);
  return rig;
}

interface Far {
  seal(inner: Uint8Array): Uint8Array;
  open(datagram: Uint8Array): Uint8Array;
}

/** Our half as it is installed, and a far end of its own. */
function halves([ours, theirs]: readonly [DatapathSession, DatapathSession]): [DatapathSession, Far] {
  const session = new TransportSession(nodeCrypto(), theirs);
  let counter = 0n;
  return [
    ours,
    {
      seal: (inner) => session.seal(inner, 1420),
      open: (datagram) => {
        const opened = session.open(counter++, datagram, 0);
        assert.ok(opened.ok);
        return opened.plaintext;
      },
    },
  ];
}

/** What the engine sent since the last call, opened and without padding. */
function open(rig: EngineRig, far: Far): readonly Uint8Array[] {
  return rig.takeSent().map((datagram) => {
    const inner = far.open(datagram);
    return inner.subarray(0, new DataView(inner.buffer, inner.byteOffset).getUint16(2));
  });
}

function total(rig: EngineRig): number {
  const counted = Object.values(rig.engine.readCounters()).reduce((sum, count) => sum + count, 0);
  return counted + rig.exceptions.length + rig.delivered.length;
}
