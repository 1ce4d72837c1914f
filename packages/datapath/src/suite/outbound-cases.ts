import assert from "node:assert/strict";
import { test } from "node:test";
import { STAGED_PACKETS } from "@mesh/core/ports";
import { eventually } from "./eventually.ts";
import { Remote } from "./remote.ts";
import { App, ip, key, MTU, type OpenDatapath, OUR_V4, OUR_V6, PEER_V4, PEER_V6, Rig } from "./rig.ts";

const V4_UDP_OVERHEAD = 28;

export function outboundCases(open: OpenDatapath): void {
  for (const [family, from, to] of [["IPv4", OUR_V4, PEER_V4] as const, ["IPv6", OUR_V6, PEER_V6] as const]) {
    test(`an ${family} packet is sealed, padded with zeros to 16 bytes and sent`, async (t) => {
      const rig = await Rig.open(t, open);
      const session = rig.install(0, "initiator");
      const app = await App.open(t, from);
      await app.send("hello", to);
      const datagram = await rig.remote.next();
      assert.equal(datagram.readUInt32LE(0), 4);
      assert.equal(datagram.readUInt32LE(4), session.keys.remoteIndex);
      const { counter, plaintext } = session.open(datagram);
      assert.equal(counter, 0n);
      assert.equal(plaintext.length, family === "IPv4" ? 48 : 64);
      assert.equal(
        plaintext.subarray(family === "IPv4" ? 33 : 53).every((byte) => byte === 0),
        true,
      );
      await app.send("again", to);
      const again = await rig.remote.next();
      assert.equal(session.open(again).counter, 1n);
      assert.equal(session.open(again).plaintext.subarray(-20).includes("again"), true);
    });
  }

  for (const [length, padded] of [
    [MTU, MTU],
    [1415, MTU],
    [1400, 1408],
    [1408, 1408],
  ] as const) {
    test(`a packet of ${length} bytes is padded to ${padded}: never beyond the MTU`, async (t) => {
      const rig = await Rig.open(t, open);
      const session = rig.install(0, "initiator");
      const app = await App.open(t, OUR_V4);
      await app.send(Buffer.alloc(length - V4_UDP_OVERHEAD, 1), PEER_V4);
      assert.equal(session.open(await rig.remote.next()).plaintext.length, padded);
    });
  }

  test("datagrams go over IPv6 too", async (t) => {
    const rig = await Rig.open(t, open);
    assert.equal(rig.path.info.isDualStack, true);
    const remote = await Remote.open("::1");
    t.after(() => remote.close());
    const session = rig.install(0, "initiator");
    rig.path.setWays(0, [{ endpoint: remote.endpoint }]);
    const app = await App.open(t, OUR_V4);
    await app.send("over six", PEER_V4);
    assert.equal(session.open(await remote.next()).plaintext.includes("over six"), true);
  });

  for (const address of ["127.0.0.1", "::1"] as const) {
    test(`what exceeds the path's MTU to ${address} leaves in fragments`, async (t) => {
      const rig = await Rig.open(t, open);
      const remote = await Remote.open(address);
      t.after(() => remote.close());
      const session = rig.install(0, "initiator");
      rig.path.setWays(0, [{ endpoint: remote.endpoint }]);
      ip("link", "set", "dev", "lo", "mtu", "1300");
      t.after(() => ip("link", "set", "dev", "lo", "mtu", "65536"));
      const app = await App.open(t, OUR_V4);
      await app.send(Buffer.alloc(MTU - V4_UDP_OVERHEAD), PEER_V4);
      assert.equal(session.open(await remote.next()).plaintext.length, MTU);
    });
  }

  test("a packet to nobody is counted", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const before = rig.path.readCounters().tunNoRoute; // the kernel's own multicasts
    await app.send("nobody", "10.77.9.9" as typeof OUR_V4);
    await eventually("it is counted", () => rig.path.readCounters().tunNoRoute > before);
  });

  test("packets wait for a session, and the oldest make room", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const surplus = 3;
    for (let i = 0; i < STAGED_PACKETS + surplus; i++) await app.send(`packet ${i}`, PEER_V4);
    await rig.counted("tunStagedOverflow", surplus);
    await eventually("a session is wanted", () => rig.exceptions.length > 0);
    assert.deepEqual(rig.exceptions, [{ type: "session-wanted", slot: 0 }]);
    const session = rig.install(0, "initiator");
    for (let i = surplus; i < STAGED_PACKETS + surplus; i++) assert.equal(await rig.nextText(session), `packet ${i}`);
    assert.equal(rig.path.readTraffic(0).sentPackets, STAGED_PACKETS);
  });

  test("what waited leaves before what comes while it leaves", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const waiting = 90;
    const total = 120; // below STAGED_PACKETS, so that none is dropped however late the first ones leave
    for (let i = 0; i < waiting; i++) await app.send(`${i}`, PEER_V4);
    await eventually("a session is wanted", () => rig.exceptions.length > 0);
    const session = rig.install(0, "initiator");
    const sends = Array.from({ length: total - waiting }, (_, i) => app.send(`${waiting + i}`, PEER_V4));
    for (let i = 0; i < total; i++) assert.equal(await rig.nextText(session), `${i}`);
    await Promise.all(sends);
  });

  test("packets wait for an endpoint, and no session is wanted", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator", { hasEndpoint: false });
    for (const text of ["one", "two"]) await app.send(text, PEER_V4);
    rig.path.setWays(0, [{ endpoint: rig.remote.endpoint }]);
    assert.equal(await rig.nextText(session), "one");
    assert.equal(await rig.nextText(session), "two");
    rig.path.setWays(0, []);
    await app.send("three", PEER_V4);
    rig.path.setWays(0, [{ endpoint: rig.remote.endpoint }]);
    assert.equal(await rig.nextText(session), "three");
    assert.deepEqual(rig.exceptions, []);
  });

  test("a session is wanted at most once a second, and again while packets wait", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const wantedAt: number[] = [];
    let sent = 0;
    await eventually("it is wanted three times", () => {
      if (rig.all("session-wanted").length > wantedAt.length) wantedAt.push(rig.path.now());
      if (sent++ % 10 === 0) void app.send("still waiting", PEER_V4);
      return wantedAt.length === 3;
    });
    // The reports pass an event loop, so a few ms of their distance can be lost.
    for (let i = 1; i < wantedAt.length; i++) assert.ok((wantedAt[i] ?? 0) - (wantedAt[i - 1] ?? 0) > 900, `${wantedAt}`);
  });

  test("a keepalive is an empty packet, and needs a session and an endpoint", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const other = rig.install(1, "initiator");
    // Once a packet has left, the engine begins its next round with whatever was asked before: two packets, and all is done.
    const allIsDone = async (): Promise<void> => {
      for (let i = 0; i < 2; i++) {
        await app.send("fence", "10.77.2.5" as typeof OUR_V4);
        assert.equal(await rig.nextText(other), "fence");
      }
    };
    rig.path.setWays(0, [{ endpoint: rig.remote.endpoint }]);
    rig.path.sendKeepalive(0);
    await allIsDone();
    rig.path.setWays(0, []);
    const session = rig.install(0, "initiator", { hasEndpoint: false });
    rig.path.sendKeepalive(0);
    await allIsDone();
    rig.path.setWays(0, [{ endpoint: rig.remote.endpoint }]);
    await allIsDone();
    rig.path.sendKeepalive(0);
    const keepalive = await rig.remote.next();
    assert.equal(keepalive.length, 32);
    assert.deepEqual(session.open(keepalive), { counter: 0n, plaintext: Buffer.alloc(0) });
    assert.deepEqual(rig.exceptions, []);
  });

  test("keys are wiped from the caller's memory", async (t) => {
    const rig = await Rig.open(t, open);
    const [sendKey, receiveKey] = [key("send"), key("receive")];
    rig.path.installSession({ slot: 0, localIndex: 1, remoteIndex: 2, sendKey, receiveKey, role: "initiator", expiresAt: rig.path.now() });
    assert.deepEqual([...sendKey, ...receiveKey], new Array(64).fill(0));
  });

  test("traffic: bytes and packets are of inner packets, stamps tell data from keepalives", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    const zero = rig.path.readTraffic(0);
    assert.equal(
      Object.values(zero).every((value) => value === 0),
      true,
    );
    rig.path.sendKeepalive(0);
    await rig.remote.next();
    const kept = rig.path.readTraffic(0);
    assert.deepEqual({ ...kept, authenticatedSentAt: 0 }, { ...zero, sendCounter: 1 });
    assert.ok(kept.authenticatedSentAt > 0 && kept.authenticatedSentAt <= rig.path.now());
    const app = await App.open(t, OUR_V4);
    await app.send("12345", PEER_V4);
    await rig.nextPacket(session);
    const sent = rig.path.readTraffic(0);
    assert.deepEqual([sent.sentBytes, sent.sentPackets, sent.sendCounter], [V4_UDP_OVERHEAD + 5, 1, 2]);
    assert.ok(sent.dataSentAt >= kept.authenticatedSentAt && sent.dataSentAt === sent.authenticatedSentAt);
    assert.equal(rig.path.readTraffic(1).sentPackets, 0);
  });
}
