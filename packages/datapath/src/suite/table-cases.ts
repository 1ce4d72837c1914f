import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ip, MAX_PEERS } from "@mesh/core/ports";
import { eventually } from "./eventually.ts";
import { App, type OpenDatapath, OUR_V4, PEER_V4, Rig, route, TABLE } from "./rig.ts";

export function tableCases(open: OpenDatapath): void {
  test("the longest prefix decides where a packet goes", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const sessions = [rig.install(0, "initiator"), rig.install(1, "initiator")] as const;
    for (const [address, slot] of [["10.77.1.127", 0] as const, ["10.77.1.128", 1] as const, ["10.77.1.255", 1] as const]) {
      await app.send(address, address as Ip);
      assert.equal((await rig.nextPacket(sessions[slot])).destination, address);
    }
  });

  test("a table is swapped under traffic: no packet is lost, and after it none goes the old way", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const sessions = [rig.install(0, "initiator"), rig.install(1, "initiator")] as const;
    const swaps = 100;
    const packetsPerSwap = 20;
    for (let swap = 0; swap < swaps; swap++) {
      const slot = swap % 2 === 0 ? 0 : 1;
      const sends = Array.from({ length: packetsPerSwap }, (_, i) => app.send(`${swap}.${i}`, PEER_V4));
      rig.path.publishTable({ peers: [0, 1], roaming: [], routes: [route("10.77.1.0/24", slot)] });
      await Promise.all(sends);
      // In flight until here: either way. From now on: the new way.
      await app.send(`${swap} after`, PEER_V4);
      for (let i = 0; i <= packetsPerSwap; i++) {
        const datagram = await rig.remote.next();
        const owner = sessions.findIndex(({ keys }) => keys.remoteIndex === datagram.readUInt32LE(4));
        const text = sessions[owner === 0 ? 0 : 1].open(datagram).plaintext.toString("latin1", 28);
        if (text.includes("after")) assert.equal(owner, slot);
      }
    }
    assert.equal(rig.path.readTraffic(0).sentPackets + rig.path.readTraffic(1).sentPackets, swaps * (packetsPerSwap + 1));
  });

  test("a peer that stays keeps its session, its endpoint and its traffic", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator");
    await app.send("before", PEER_V4);
    await rig.nextPacket(session);
    rig.path.publishTable({ peers: [0], roaming: [], routes: [route("10.77.0.0/16", 0)] });
    await app.send("after", PEER_V4);
    assert.equal(await rig.nextText(session), "after");
    assert.equal(rig.path.readTraffic(0).sentPackets, 2);
  });

  test("a peer that is gone loses its session, its endpoint, what waited for it and its traffic; others stay", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const gone = rig.install(0, "initiator");
    const stays = rig.install(1, "initiator");
    await app.send("before", PEER_V4);
    await rig.nextPacket(gone);
    rig.path.setWays(0, []);
    await app.send("waits in vain", PEER_V4);
    // The device is read in order: when what came behind it has left, it waits.
    await app.send("behind it", "10.77.2.5" as Ip);
    await rig.nextPacket(stays);
    rig.path.publishTable({ peers: [1], roaming: [], routes: [route("10.77.2.0/24", 1)] });
    assert.equal(
      Object.values(rig.path.readTraffic(0)).every((value) => value === 0),
      true,
    );
    await rig.send(gone.keepalive());
    await rig.counted("udpUnknownSession", 1);

    rig.path.publishTable(TABLE);
    const fresh = rig.install(0, "initiator");
    await app.send("to the new one", PEER_V4);
    assert.equal(await rig.nextText(fresh), "to the new one");
    assert.equal(rig.path.readTraffic(0).sentPackets, 1);
    await rig.send(stays.seal(app.packetFrom("10.77.2.5" as Ip, "still here")));
    assert.equal(await app.next(), "still here from 10.77.2.5:7");
  });

  test("a table can be full, and empty", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const last = MAX_PEERS - 1;
    const peers = Array.from({ length: MAX_PEERS }, (_, slot) => slot);
    const routes = peers.map((slot) => route(`10.${128 + (slot >> 8)}.${slot & 255}.0/24`, slot));
    rig.path.publishTable({ peers, roaming: [], routes: [...routes, route("10.77.1.0/24", last)] });
    const session = rig.install(last, "initiator");
    await app.send("to the last", PEER_V4);
    await rig.nextPacket(session);
    assert.equal(rig.path.readTraffic(last).sentPackets, 1);
    rig.path.publishTable({ peers: [], roaming: [], routes: [] });
    const before = rig.path.readCounters().tunNoRoute;
    await app.send("to nobody", PEER_V4);
    await eventually("it has no route", () => rig.path.readCounters().tunNoRoute > before);
  });

  test("what cannot be a table, a slot or a session is a RangeError", async (t) => {
    const rig = await Rig.open(t, open);
    const { path } = rig;
    assert.throws(() => path.publishTable({ peers: [0], roaming: [], routes: [route("10.0.0.0/8", 1)] }), RangeError);
    assert.throws(() => path.publishTable({ peers: [0], roaming: [1], routes: [] }), RangeError);
    assert.throws(() => path.publishTable({ peers: [MAX_PEERS], roaming: [], routes: [] }), RangeError);
    assert.throws(() => path.setHandshakeKey(new Uint8Array(31)), RangeError);
    assert.throws(() => path.setWays(7, [{ endpoint: rig.remote.endpoint }]), RangeError);
    assert.throws(() => path.sendKeepalive(7), RangeError);
    assert.throws(() => path.readTraffic(-1), RangeError);
    const session = rig.install(0, "initiator");
    const keys = { sendKey: new Uint8Array(32), receiveKey: new Uint8Array(32), role: "initiator", expiresAt: path.now() } as const;
    assert.throws(() => path.installSession({ ...keys, slot: 7, localIndex: 1, remoteIndex: 1 }), RangeError);
    assert.throws(() => path.installSession({ ...keys, slot: 1, localIndex: session.keys.localIndex, remoteIndex: 1 }), RangeError);
    assert.throws(() => path.installSession({ ...keys, slot: 1, localIndex: 1, remoteIndex: 1, sendKey: new Uint8Array(31) }), RangeError);
  });
}
