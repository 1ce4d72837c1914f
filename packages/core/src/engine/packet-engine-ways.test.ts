import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nodeCrypto } from "../../node-crypto.ts";
import type { Way } from "../address/way.ts";
import { type DatapathCounter, type DatapathSession, MAX_SOCKETS } from "../ports/datapath.ts";
import { computeMac1, mac1Key } from "../session/macs.ts";
import { INITIATION_BYTES, mac1Of } from "../wire/handshake-message.ts";
import { unwrapRelayed, wrapRelayed } from "../wire/relay-header.ts";
import { EngineRig, endpoint, packet, route, sessionPair } from "./engine-fixture.ts";
import { TransportSession } from "./transport-session.ts";

const [HERE, THERE] = ["10.0.0.1", "10.0.0.2"] as const;
const OUT = packet(HERE, THERE, 1, 2, 3);
const BACK = packet(THERE, HERE, 4, 5, 6);
const REMOTE = endpoint("192.0.2.1");
const RELAY = endpoint("192.0.2.9");
const STRAIGHT: Way = { endpoint: REMOTE };
const RELAYED: Way = { endpoint: RELAY, relay: { from: 4, to: 7, pass: 99 } };
const PROBE = Uint8Array.of(0x21, 0x6d, 0x73, 0x68, 5);

describe("packets out, by ways", () => {
  test("a packet leaves once by each way, sealed once, behind the relay's header where there is one", () => {
    const rig = rigWithSession();
    rig.engine.setWays(0, [STRAIGHT, RELAYED], 0);
    rig.engine.fromTun(OUT, 0);
    rig.engine.sendKeepalive(0, 0);
    const [data, relayedData, keepalive, relayedKeepalive] = rig.sent;
    for (const [straight, relayed] of [[data, relayedData] as const, [keepalive, relayedKeepalive] as const]) {
      assert.deepEqual(straight?.to, { endpoint: REMOTE, socket: 0 });
      assert.deepEqual(relayed?.to, { endpoint: RELAY, socket: 0 });
      assert.deepEqual(relayed?.datagram, wrapRelayed("to-relay", { from: 4, to: 7, pass: 99 }, straight?.datagram ?? assert.fail()));
    }
    assert.equal(rig.sent.length, 4);
    const { sendCounter, sentPackets, sentBytes } = rig.engine.readTraffic(0);
    assert.deepEqual([sendCounter, sentPackets, sentBytes], [2, 1, OUT.length]);
  });

  test("without a way packets wait, and a way brings them out by all", () => {
    const rig = rigWithSession();
    rig.engine.setWays(0, [], 0);
    rig.engine.fromTun(OUT, 0);
    assert.equal(rig.sent.length, 0);
    rig.engine.setWays(0, [RELAYED, STRAIGHT], 0);
    assert.deepEqual(
      rig.sent.map(({ to }) => to.endpoint),
      [RELAY, REMOTE],
    );
  });

  test("a datagram has its way's header and the TTL it was given", () => {
    const rig = new EngineRig();
    rig.engine.sendDatagram(RELAYED, PROBE, { ttl: undefined, now: 0 });
    rig.engine.sendDatagram(STRAIGHT, PROBE, { ttl: 4, now: 0 });
    assert.deepEqual(rig.sent, [
      { to: { endpoint: RELAY, socket: 0 }, datagram: wrapRelayed("to-relay", { from: 4, to: 7, pass: 99 }, PROBE), ttl: undefined },
      { to: { endpoint: REMOTE, socket: 0 }, datagram: PROBE, ttl: 4 },
    ]);
  });

  test("ways that cannot be are a RangeError and change nothing", () => {
    const rig = rigWithSession();
    const relay = { from: 1, to: 2, pass: 3 };
    const wrong: readonly (readonly Way[])[] = [
      [STRAIGHT, STRAIGHT, STRAIGHT],
      [{ ...STRAIGHT, socket: 1 }],
      [STRAIGHT, { ...STRAIGHT, socket: MAX_SOCKETS }],
      [{ ...STRAIGHT, socket: -1 }],
      [{ ...STRAIGHT, relay: { ...relay, from: 65_536 } }],
      [{ ...STRAIGHT, relay: { ...relay, to: -1 } }],
      [{ ...STRAIGHT, relay: { ...relay, pass: 2 ** 32 } }],
    ];
    for (const ways of wrong) assert.throws(() => rig.engine.setWays(0, ways, 0), RangeError);
    const send = (way: Way, ttl?: number) => (): void => rig.engine.sendDatagram(way, PROBE, { ttl, now: 0 });
    for (const [way] of wrong.slice(3)) if (way !== undefined) assert.throws(send(way), RangeError);
    for (const ttl of [0, 256, -1, 1.5, Number.NaN]) assert.throws(send(STRAIGHT, ttl), RangeError, `ttl ${ttl}`);
    rig.engine.fromTun(OUT, 0);
    assert.deepEqual(
      rig.sent.map(({ to }) => to.endpoint),
      [REMOTE],
    );
  });

  test("what would leave by a closed socket is a send error, and leaves by the other way", () => {
    const rig = rigWithSession();
    assert.deepEqual([rig.engine.takeSocket(), rig.engine.takeSocket()], [1, 2]);
    rig.engine.setWays(
      0,
      [
        { ...STRAIGHT, socket: 1 },
        { ...STRAIGHT, socket: 2 },
      ],
      0,
    );
    assert.equal(rig.engine.releaseSocket(1), true);
    assert.deepEqual([rig.engine.releaseSocket(1), rig.engine.releaseSocket(0), rig.engine.releaseSocket(77)], [false, false, false]);
    rig.engine.fromTun(OUT, 0);
    rig.engine.sendDatagram({ ...STRAIGHT, socket: 1 }, PROBE, { ttl: undefined, now: 0 });
    assert.deepEqual(
      rig.sent.map(({ to }) => to.socket),
      [2],
    );
    assert.equal(rig.engine.readCounters().udpSendErrors, 2);
    assert.equal(rig.engine.takeSocket(), 1, "the lowest free number");
  });

  test("there are MAX_SOCKETS at most", () => {
    const { engine } = new EngineRig();
    for (let socket = 1; socket < MAX_SOCKETS; socket++) assert.equal(engine.takeSocket(), socket);
    assert.equal(engine.takeSocket(), undefined);
  });
});

describe("what was relayed", () => {
  const fromRelay = (carried: Uint8Array): Uint8Array => wrapRelayed("from-relay", { from: 7, to: 4, pass: 0 }, carried);

  test("is opened as if it had come straight", () => {
    const rig = rigWithSession();
    rig.receive(RELAY, fromRelay(rig.theirs.seal(BACK, 1420)), 5);
    assert.deepEqual(rig.delivered, [BACK]);
    assert.equal(rig.engine.readTraffic(0).receivedPackets, 1);
  });

  test("moves no roaming peer, and gives none a way", () => {
    const rig = rigWithSession({ isRoaming: true });
    rig.receive(RELAY, fromRelay(rig.theirs.seal(BACK, 1420)), 0);
    rig.engine.fromTun(OUT, 0);
    assert.deepEqual(rig.sent.splice(0)[0]?.to.endpoint, REMOTE);
    rig.engine.setWays(0, [], 0);
    rig.engine.fromTun(OUT, 0);
    rig.receive(RELAY, fromRelay(rig.theirs.seal(BACK, 1420)), 0);
    assert.equal(rig.sent.length, 0);
    rig.receive(REMOTE, rig.theirs.seal(BACK, 1420), 0);
    assert.deepEqual(rig.sent[0]?.to, { endpoint: REMOTE, socket: 0 });
  });

  test("a roaming peer is answered by the socket that it came in by", () => {
    const rig = rigWithSession({ isRoaming: true });
    rig.engine.takeSocket();
    rig.engine.fromUdp({ endpoint: REMOTE, socket: 1 }, rig.theirs.seal(BACK, 1420), 0);
    rig.engine.fromTun(OUT, 0);
    assert.deepEqual(rig.sent[0]?.to, { endpoint: REMOTE, socket: 1 });
  });

  test("is handed over without the header, and says by whom it came", () => {
    const rig = rigWithSession();
    rig.engine.fromUdp({ endpoint: RELAY, socket: 3 }, wrapRelayed("from-relay", { from: 7, to: 4, pass: 55 }, PROBE), 1.25);
    const from = { endpoint: RELAY, socket: 3, relay: { from: 7, to: 4, pass: 0 } };
    assert.deepEqual(rig.exceptions, [{ type: "datagram", from, receivedAt: 1.25, bytes: PROBE }]);
  });

  test("carries something, and nothing of a relay's; otherwise it is malformed", () => {
    const rig = rigWithSession();
    const wrong = [
      ...Array.from({ length: 9 }, (_, cut) => fromRelay(PROBE).subarray(0, 4 + cut)),
      fromRelay(fromRelay(PROBE)),
      fromRelay(wrapRelayed("to-relay", { from: 1, to: 2, pass: 3 }, PROBE)),
      fromRelay(Uint8Array.of(0x22, 0x6d, 0x73, 0x68)),
      fromRelay(Uint8Array.of(4, 0, 0, 0, 1)),
      fromRelay(Uint8Array.of(9)),
    ];
    for (const [i, bytes] of wrong.entries()) {
      rig.receive(RELAY, bytes, 0);
      assert.equal(rig.engine.readCounters().udpMalformed, i + 1, `datagram ${i}`);
    }
    assert.deepEqual(rig.exceptions, []);
  });

  test("under load is never answered: a cookie would not find the way back", () => {
    const rig = rigWithSession();
    rig.engine.setHandshakeKey(new Uint8Array(32).fill(9));
    for (let i = 0; i < 300; i++) rig.receive(RELAY, fromRelay(initiation()), 0);
    assert.deepEqual(rig.sent, []);
    assert.equal(rig.exceptions.length, 200);
    assert.equal(rig.engine.readCounters().sourceOverBudget, 100);
    rig.engine.setWays(0, [RELAYED], 0);
    for (let i = 0; i < 6; i++) rig.receive(RELAY, fromRelay(initiation()), 0);
    assert.equal(rig.exceptions.length, 205, "a contact's budget");
  });
});

describe("relaying", () => {
  const [A, B] = [endpoint("192.0.2.11"), endpoint("192.0.2.12")];
  const bytes = wrapRelayed("to-relay", { from: 1, to: 2, pass: 11 }, PROBE);

  /** Slots 1 and 2 are members 1 and 2, with passes 11 and 22, at A and B. */
  function relayRig(): EngineRig {
    const rig = new EngineRig();
    rig.engine.publishTable({ peers: [1, 2], roaming: [], routes: [] });
    rig.engine.setWays(1, [{ endpoint: A }], 0);
    rig.engine.setWays(2, [{ endpoint: B }, { endpoint: REMOTE }], 0);
    const members = [1, 2].map((slot) => ({ slot, number: slot, pass: slot * 11 }));
    rig.engine.setRelay({ members, bytesPerSecond: 1_000_000 }, 0);
    return rig;
  }

  test("what a member sends for another is passed on by its first way, and only the header changes", () => {
    const rig = relayRig();
    rig.receive(A, bytes, 0);
    assert.deepEqual(
      rig.sent.map(({ to, datagram }) => [to, unwrapRelayed(datagram)]),
      [
        [
          { endpoint: B, socket: 0 },
          { header: { from: 1, to: 2, pass: 0 }, datagram: PROBE },
        ],
      ],
    );
    const { relayedPackets, relayedBytes } = rig.engine.readCounters();
    assert.deepEqual([relayedPackets, relayedBytes], [1, PROBE.length]);
    assert.deepEqual(rig.exceptions, []);
  });

  test("what is not is counted, answered by nothing, and wakes nobody", () => {
    const wrong: readonly (readonly [Uint8Array, DatapathCounter])[] = [
      [wrapRelayed("to-relay", { from: 1, to: 2, pass: 22 }, PROBE), "relayNotAllowed"],
      [wrapRelayed("to-relay", { from: 1, to: 2, pass: 11 }, bytes), "relayNotAllowed"],
      ...Array.from({ length: 9 }, (_, cut) => [bytes.subarray(0, 4 + cut), "udpMalformed"] as const),
    ];
    for (const [datagram, counter] of wrong) {
      const rig = relayRig();
      rig.receive(A, datagram, 0);
      assert.equal(rig.engine.readCounters()[counter], 1);
      assert.deepEqual([rig.sent, rig.exceptions], [[], []]);
    }
  });

  test("a slot without a way, or that left the table, is relayed for no more", () => {
    const rig = relayRig();
    rig.engine.setWays(2, [], 0);
    rig.receive(A, bytes, 0);
    assert.equal(rig.engine.readCounters().relayNoWay, 1);
    rig.engine.publishTable({ peers: [2], roaming: [], routes: [] });
    rig.receive(A, bytes, 0);
    assert.equal(rig.engine.readCounters().relayNotAllowed, 1);
    assert.deepEqual(rig.sent, []);
  });

  test("over its budget nothing of a sender is passed on", () => {
    const rig = relayRig();
    const large = wrapRelayed("to-relay", { from: 1, to: 2, pass: 11 }, new Uint8Array(988));
    for (let i = 0; i < 251; i++) rig.receive(A, large, 0.9);
    assert.deepEqual([rig.sent.length, rig.engine.readCounters().relayOverLimit], [250, 1]);
  });

  test("before it is asked to, a node relays nothing", () => {
    const rig = rigWithSession();
    rig.receive(REMOTE, bytes, 0);
    assert.equal(rig.engine.readCounters().relayNotAllowed, 1);
  });
});

interface SessionRig extends EngineRig {
  readonly theirs: TransportSession;
}

/** One peer, slot 0, at REMOTE, with the address THERE and a session. */
function rigWithSession({ isRoaming = false }: { readonly isRoaming?: boolean } = {}): SessionRig {
  const rig = new EngineRig();
  rig.engine.publishTable({ peers: [0], roaming: isRoaming ? [0] : [], routes: [route("10.0.0.2/32", 0)] });
  rig.engine.setWays(0, [STRAIGHT], 0);
  const [ours, theirs]: readonly [DatapathSession, DatapathSession] = sessionPair(1);
  rig.engine.installSession(ours, 0);
  return Object.assign(rig, { theirs: new TransportSession(nodeCrypto(), theirs) });
}

/** With a mac1 for the key of nines. */
function initiation(): Uint8Array {
  const bytes = new Uint8Array(INITIATION_BYTES);
  bytes[0] = 1;
  mac1Of(bytes).set(computeMac1(bytes, mac1Key(new Uint8Array(32).fill(9))));
  return bytes;
}
