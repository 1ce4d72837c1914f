import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_SOCKETS, type SocketId, type Way } from "@mesh/core/ports";
import { eventually } from "./eventually.ts";
import { fromRelay, toRelay } from "./relay-datagram.ts";
import { Remote } from "./remote.ts";
import { App, type OpenDatapath, OUR_V4, PEER_V4, Rig, TABLE } from "./rig.ts";

const PROBE: Buffer = Buffer.from("216d7368ab", "hex");

/** Further sockets. */
export function socketCases(open: OpenDatapath): void {
  test("each has a port of its own, sends by it, and says what came in by it, over both families", async (t) => {
    const rig = await Rig.open(t, open);
    const other = await Remote.open("::1");
    t.after(() => other.close());
    const sockets = rig.path.openSockets(3);
    assert.deepEqual(sockets, [1, 2, 3]);
    const ports = new Set([rig.path.info.udpPort]);
    for (const remote of [rig.remote, other]) {
      for (const socket of sockets) {
        const port = await portOf(rig, socket, remote);
        if (remote === rig.remote) assert.ok(!ports.has(port));
        ports.add(port);
        await remote.send(PROBE, port);
        await eventually("it is handed over", () => rig.exceptions.length > 0);
        assert.deepEqual(rig.all("datagram")[0]?.from, { endpoint: remote.endpoint, socket });
        rig.exceptions.length = 0;
      }
    }
    assert.equal(ports.size, 4);
  });

  test("packets go both ways by one of them, and by two at once; a roaming peer is answered by the one it came in by", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    rig.path.publishTable({ ...TABLE, roaming: [1] });
    const [session, roaming] = [rig.install(0, "initiator"), rig.install(1, "initiator")];
    const [socket = 0, second = 0] = rig.path.openSockets(2);
    const port = await portOf(rig, socket);
    const way: Way = { endpoint: rig.remote.endpoint, socket };
    rig.path.setWays(0, [way, { ...way, socket: second }]);
    await app.send("by both", PEER_V4);
    const [one, two] = [await rig.remote.nextFrom(), await rig.remote.nextFrom()];
    assert.deepEqual(one.bytes, two.bytes);
    assert.deepEqual(new Set([one.port, two.port]), new Set([port, await portOf(rig, second)]));
    assert.ok(session.open(one.bytes).plaintext.includes("by both"));
    await rig.remote.send(session.seal(app.packetFrom(PEER_V4, "back")), port);
    assert.equal(await app.next(), `back from ${PEER_V4}:7`);
    await rig.remote.send(roaming.seal(app.packetFrom("10.77.2.5" as typeof OUR_V4, "here")), port);
    assert.equal(await app.next(), "here from 10.77.2.5:7");
    await app.send("there", "10.77.2.5" as typeof OUR_V4);
    assert.equal((await rig.remote.nextFrom()).port, port);
  });

  test("what members ask to be relayed may come by any, and leaves by the receiver's", async (t) => {
    const rig = await Rig.open(t, open);
    const receiver = await Remote.open();
    t.after(() => receiver.close());
    const [entry = 0, exit = 0] = rig.path.openSockets(2);
    const [entryPort, exitPort] = [await portOf(rig, entry), await portOf(rig, exit)];
    rig.path.setWays(0, [{ endpoint: rig.remote.endpoint }]);
    rig.path.setWays(1, [{ endpoint: receiver.endpoint, socket: exit }]);
    rig.path.setRelay({ members: [0, 1].map((slot) => ({ slot, number: slot + 1, pass: slot })), bytesPerSecond: 1_000_000 });
    await rig.remote.send(toRelay({ from: 1, to: 2, pass: 0 }, PROBE), entryPort);
    assert.deepEqual(await receiver.nextFrom(), { bytes: fromRelay({ from: 1, to: 2 }, PROBE), port: exitPort });
    rig.path.closeSockets([exit]);
    await rig.remote.send(toRelay({ from: 1, to: 2, pass: 0 }, PROBE), entryPort);
    await rig.counted("udpSendErrors", 1);
  });

  test("a closed one receives nothing, and what would leave by it is a send error; its number is free again", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator");
    const sockets = rig.path.openSockets(3);
    const port = await portOf(rig, 2);
    const way: Way = { endpoint: rig.remote.endpoint, socket: 2 };
    rig.path.setWays(0, [way]);
    rig.path.closeSockets([2, 2, 0, 77, 70_000]);
    rig.path.sendDatagram(way, PROBE);
    await rig.counted("udpSendErrors", 1);
    await app.send("lost", PEER_V4);
    await rig.counted("udpSendErrors", 2);
    assert.throws(() => rig.path.setWays(0, [way]), RangeError);
    const [again] = rig.path.openSockets(1);
    assert.equal(again, 2);
    await app.send("found", PEER_V4);
    const { bytes, port: newPort } = await rig.remote.nextFrom();
    assert.ok(session.open(bytes).plaintext.includes("found"));
    assert.notEqual(newPort, port);
    rig.path.closeSockets(sockets);
    rig.path.setWays(0, [{ endpoint: rig.remote.endpoint }]);
    await app.send("by the first", PEER_V4);
    assert.ok(session.open((await rig.remote.nextFrom()).bytes).plaintext.includes("by the first"));
  });

  test("there are MAX_SOCKETS at most, and none is opened for nothing", async (t) => {
    const rig = await Rig.open(t, open);
    assert.deepEqual(rig.path.openSockets(0), []);
    const sockets = rig.path.openSockets(1_000);
    assert.deepEqual(
      sockets,
      Array.from({ length: MAX_SOCKETS - 1 }, (_, i) => i + 1),
    );
    assert.deepEqual(rig.path.openSockets(1), []);
    for (const socket of [1, 256, 512]) {
      await rig.remote.send(PROBE, await portOf(rig, socket));
      await eventually("it is handed over", () => rig.exceptions.length === 1);
      assert.equal(rig.all("datagram")[0]?.from.socket, socket);
      rig.exceptions.length = 0;
    }
  });

  test("all of them opened and closed under traffic, again and again: nothing that goes by the first is lost", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator");
    rig.install(1, "initiator");
    const count = MAX_SOCKETS - 1;
    const [rounds, packets] = [10, 20];
    for (let round = 0; round < rounds; round++) {
      const sockets = rig.path.openSockets(count);
      assert.equal(sockets.length, count);
      rig.path.setWays(1, [{ endpoint: rig.remote.endpoint, socket: sockets[round] ?? 0 }]);
      const sends: Promise<void>[] = [];
      for (let i = 0; i < packets; i++) {
        sends.push(app.send(`${round}.${i}`, PEER_V4), app.send("elsewhere", "10.77.2.5" as typeof OUR_V4));
        sends.push(rig.send(session.seal(app.packetFrom(PEER_V4, `${round}.${i}`))));
        for (const socket of sockets.slice(0, 8)) rig.path.sendDatagram({ endpoint: rig.remote.endpoint, socket }, PROBE);
      }
      rig.path.closeSockets(sockets);
      await Promise.all(sends);
      for (let i = 0; i < packets; i++) assert.equal(await app.next(), `${round}.${i} from ${PEER_V4}:7`);
      for (let left = packets; left > 0; ) {
        const datagram = await rig.remote.next();
        if (datagram.readUInt32LE(0) === 4 && datagram.readUInt32LE(4) === session.keys.remoteIndex) left--;
      }
    }
    assert.equal(rig.path.readTraffic(0).sentPackets, rounds * packets);
    assert.equal(rig.path.readTraffic(1).sentPackets, rounds * packets);
  });

  test("close closes them, too", async (t) => {
    const rig = await Rig.open(t, open);
    const [socket = 0] = rig.path.openSockets(2);
    const port = await portOf(rig, socket);
    await rig.path.close();
    assert.throws(() => rig.path.openSockets(1));
    assert.throws(() => rig.path.closeSockets([socket]));
    const again = open({ tunName: "meshsuite1", mtu: 1420, udpPort: port, onExceptions: () => {} });
    assert.equal(again.info.udpPort, port);
    await again.close();
  });
}

/** Where a remote sees what leaves by the socket come from. */
async function portOf(rig: Rig, socket: SocketId, remote: Remote = rig.remote): Promise<number> {
  rig.path.sendDatagram({ endpoint: remote.endpoint, socket }, PROBE);
  return (await remote.nextFrom()).port;
}
