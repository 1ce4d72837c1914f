import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { DatapathCounter, RelayTable } from "@mesh/core/ports";
import { eventually } from "./eventually.ts";
import { handshakeMessage } from "./handshake-message.ts";
import { fromRelay, RELAY_HEADER_BYTES, toRelay } from "./relay-datagram.ts";
import { Remote } from "./remote.ts";
import { type OpenDatapath, Rig, TABLE } from "./rig.ts";

const PROBE: Buffer = Buffer.from("216d7368ab", "hex");
const [FIRST, SECOND, THIRD] = [0x0102, 0xfffe, 7] as const;
const PASS = 0xfedc_ba98;
const TABLE_OF_THREE: RelayTable = {
  members: [
    { slot: 0, number: FIRST, pass: PASS },
    { slot: 1, number: SECOND, pass: 2 },
    { slot: 2, number: THIRD, pass: 3 },
  ],
  bytesPerSecond: 10_000_000,
};

/** Relaying for others. */
export function relayCases(open: OpenDatapath): void {
  test("what one member sends for another is passed on whole, whatever it is and over whichever family", async (t) => {
    const { rig, first, second, send } = await relayRig(t, open);
    const carried = [
      PROBE,
      Buffer.alloc(1),
      handshakeMessage(1),
      Buffer.concat([Buffer.of(4, 0, 0, 0), Buffer.alloc(1_440, 7)]),
      Buffer.alloc(60_000, 5),
    ];
    for (const bytes of carried) {
      await send(first, toRelay({ from: FIRST, to: SECOND, pass: PASS }, bytes));
      assert.deepEqual(await second.next(), fromRelay({ from: FIRST, to: SECOND }, bytes));
      await send(second, toRelay({ from: SECOND, to: FIRST, pass: 2 }, bytes));
      assert.deepEqual(await first.next(), fromRelay({ from: SECOND, to: FIRST }, bytes));
    }
    await rig.counted("relayedPackets", 2 * carried.length);
    await rig.counted("relayedBytes", 2 * Buffer.concat(carried).length);
    assert.deepEqual(rig.exceptions, []);
  });

  test("it leaves by the first of the receiver's ways only", async (t) => {
    const { rig, first, second, third, send } = await relayRig(t, open);
    rig.path.setWays(1, [{ endpoint: third.endpoint }, { endpoint: second.endpoint }]);
    await send(first, toRelay({ from: FIRST, to: SECOND, pass: PASS }, PROBE));
    assert.deepEqual(await third.next(), fromRelay({ from: FIRST, to: SECOND }, PROBE));
    assert.equal(second.waiting, 0);
  });

  test("what may not be relayed goes nowhere, answers nobody and wakes nobody", async (t) => {
    const { rig, first, second, third, send } = await relayRig(t, open);
    const ask = { from: FIRST, to: SECOND, pass: PASS };
    const good = toRelay(ask, PROBE);
    const wrong: readonly (readonly [Remote, Buffer])[] = [
      [first, toRelay({ ...ask, pass: 0 }, PROBE)],
      [first, toRelay({ ...ask, pass: 2 }, PROBE)], // the receiver's
      [first, toRelay({ ...ask, pass: PASS - 1 }, PROBE)],
      [first, toRelay({ ...ask, from: 8 }, PROBE)],
      [first, toRelay({ ...ask, to: 8 }, PROBE)],
      [first, toRelay({ ...ask, from: 0, to: 0 }, PROBE)],
      [first, toRelay({ ...ask, to: FIRST }, PROBE)], // to itself
      [second, good], // as another member
      [second, toRelay({ from: FIRST, to: SECOND, pass: 2 }, PROBE)],
      [await opened(t), good], // another port of the sender's host
      [third, toRelay({ from: THIRD, to: SECOND, pass: 3 }, PROBE)], // itself behind a relay
      [first, toRelay(ask, good)],
      [first, toRelay(ask, fromRelay(ask, PROBE))],
      [first, toRelay(ask, Buffer.from("226d7368", "hex"))],
      [first, toRelay(ask, Buffer.from("236d7368", "hex"))],
    ];
    for (const [remote, bytes] of wrong) await send(remote, bytes);
    await rig.counted("relayNotAllowed", wrong.length);
    for (let length = 4; length <= RELAY_HEADER_BYTES; length++) await send(first, good.subarray(0, length));
    await rig.counted("udpMalformed", RELAY_HEADER_BYTES - 3);
    await send(first, toRelay({ ...ask, to: THIRD }, PROBE)); // behind a relay
    await rig.counted("relayNoWay", 1);
    await send(first, good);
    assert.deepEqual(await second.next(), fromRelay(ask, PROBE));
    assert.deepEqual([first.waiting, second.waiting, third.waiting, rig.exceptions.length], [0, 0, 0, 0]);
    await rig.counted("relayedPackets", 1);
  });

  test("nothing is relayed before it is asked for, after it is over, at rate 0, or for a slot without a peer or a way", async (t) => {
    const { rig, first, second, send } = await relayRig(t, open);
    const good = toRelay({ from: FIRST, to: SECOND, pass: PASS }, PROBE);
    const refusals: Partial<Record<DatapathCounter, number>> = {};
    const isRefused = async (counter: DatapathCounter): Promise<void> => {
      await send(first, good);
      refusals[counter] = (refusals[counter] ?? 0) + 1;
      await rig.counted(counter, refusals[counter]);
    };
    rig.path.setRelay({ ...TABLE_OF_THREE, members: [] });
    await isRefused("relayNotAllowed");
    rig.path.setRelay({ ...TABLE_OF_THREE, bytesPerSecond: 0 });
    await isRefused("relayOverLimit");
    rig.path.setRelay(TABLE_OF_THREE);
    rig.path.setWays(1, []);
    await isRefused("relayNoWay");
    rig.path.publishTable({ ...TABLE, peers: [0], routes: [] });
    await isRefused("relayNoWay");
    rig.path.publishTable({ ...TABLE, peers: [0, 1] });
    rig.path.setWays(1, [{ endpoint: second.endpoint }]);
    await send(first, good);
    await second.next();
    rig.path.publishTable({ ...TABLE, peers: [1], routes: [] });
    await isRefused("relayNotAllowed");
    assert.equal(second.waiting, 0);
  });

  test("a node that was never asked to relay does not", async (t) => {
    const rig = await Rig.open(t, open);
    rig.path.setWays(0, [{ endpoint: rig.remote.endpoint }]);
    await rig.send(toRelay({ from: FIRST, to: SECOND, pass: PASS }, PROBE));
    await rig.counted("relayNotAllowed", 1);
  });

  test("each sender has a budget of bytes, headers included; a new table leaves it as it is for who stays", async (t) => {
    const { rig, first, second, send } = await relayRig(t, open);
    const rate = 1_000; // so slow that hardly anything grows back meanwhile
    const slow = { ...TABLE_OF_THREE, bytesPerSecond: rate };
    rig.path.setRelay({ ...slow, members: [] });
    rig.path.setRelay(slow);
    const startedAt = rig.path.now();
    const bytes = Buffer.alloc(1_012);
    const whole = bytes.length + RELAY_HEADER_BYTES;
    const atOnce = 64; // 64 KiB
    const ask = toRelay({ from: FIRST, to: SECOND, pass: PASS }, bytes);
    const total = (): number => rig.path.readCounters().relayedPackets + rig.path.readCounters().relayOverLimit;
    const sendAll = async (count: number): Promise<void> => {
      const before = total();
      for (let i = 0; i < count; i++) await send(first, ask);
      await eventually("all are judged", () => total() === before + count);
    };
    await sendAll(atOnce + 10);
    rig.path.setRelay({ ...slow, members: slow.members.slice(0, 2) });
    await sendAll(10);
    const grown = Math.ceil(((rig.path.now() - startedAt) * rate) / 1_000 / whole);
    const { relayedPackets } = rig.path.readCounters();
    assert.ok(relayedPackets >= atOnce && relayedPackets <= atOnce + grown, `${relayedPackets}`);
    await send(second, toRelay({ from: SECOND, to: FIRST, pass: 2 }, bytes));
    await rig.counted("relayedPackets", relayedPackets + 1);
    rig.path.setRelay({ ...slow, members: slow.members.slice(1, 2) });
    rig.path.setRelay(slow);
    await send(first, ask);
    await rig.counted("relayedPackets", relayedPackets + 2);
  });

  test("a flood of what is to be relayed, and of what is not, keeps no packet of ours from coming", async (t) => {
    const { rig, first, second, send } = await relayRig(t, open);
    const session = rig.install(1, "initiator", { hasEndpoint: false });
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < 10; i++) {
        await send(first, toRelay({ from: FIRST, to: SECOND, pass: PASS }, PROBE));
        await send(first, toRelay({ from: FIRST, to: SECOND, pass: 1 }, PROBE));
      }
      await send(second, session.keepalive());
      await send(second, fromRelay({ from: 1, to: 2 }, session.keepalive()));
    }
    await rig.counted("relayedPackets", 400);
    await rig.counted("relayNotAllowed", 400);
    await send(second, Buffer.concat([session.keepalive()]));
    await eventually("they are heard", () => rig.path.readTraffic(1).authenticatedReceivedAt > 0);
    for (let i = 0; i < 400; i++) assert.deepEqual(await second.next(), fromRelay({ from: FIRST, to: SECOND }, PROBE));
    assert.deepEqual(rig.exceptions, []);
  });
}

interface RelayRig {
  readonly rig: Rig;
  /** Of slots 0 and 1; the second by IPv6. */
  readonly first: Remote;
  readonly second: Remote;
  /** Of slot 2, whose packets go by a relay. */
  readonly third: Remote;
  send(from: Remote, bytes: Buffer): Promise<void>;
}

async function relayRig(t: TestContext, open: OpenDatapath): Promise<RelayRig> {
  const rig = await Rig.open(t, open);
  const [first, second, third] = [rig.remote, await opened(t, "::1"), await opened(t)];
  rig.path.publishTable({ ...TABLE, peers: [0, 1, 2] });
  rig.path.setWays(0, [{ endpoint: first.endpoint }]);
  rig.path.setWays(1, [{ endpoint: second.endpoint }]);
  rig.path.setWays(2, [{ endpoint: third.endpoint, relay: { from: 1, to: 2, pass: 3 } }]);
  rig.path.setRelay(TABLE_OF_THREE);
  return { rig, first, second, third, send: (from, bytes) => from.send(bytes, rig.path.info.udpPort) };
}

async function opened(t: TestContext, address?: string): Promise<Remote> {
  const remote = await Remote.open(address);
  t.after(() => remote.close());
  return remote;
}
