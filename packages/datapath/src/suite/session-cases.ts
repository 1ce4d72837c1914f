import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./eventually.ts";
import { App, type OpenDatapath, OUR_V4, PEER_V4, Rig } from "./rig.ts";

export function sessionCases(open: OpenDatapath): void {
  test("a responder's session seals nothing until its first packet is authenticated", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "responder");
    await app.send("early", PEER_V4);
    await eventually("a session is wanted", () => rig.all("session-wanted").length === 1);
    await rig.send(session.keepalive());
    assert.equal(await rig.nextText(session), "early");
    await rig.send(session.keepalive());
    await rig.send(session.seal(app.packetFrom(PEER_V4, "data")));
    assert.equal(await app.next(), `data from ${PEER_V4}:7`);
    assert.deepEqual(rig.all("session-confirmed"), [{ type: "session-confirmed", slot: 0, localIndex: session.keys.localIndex }]);
  });

  test("data confirms a responder's session too, and is delivered", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "responder");
    await rig.send(session.seal(app.packetFrom(PEER_V4, "data")));
    assert.equal(await app.next(), `data from ${PEER_V4}:7`);
    await eventually("it is confirmed", () => rig.all("session-confirmed").length === 1);
    await app.send("answer", PEER_V4);
    await rig.nextPacket(session);
  });

  test("what is not authentic confirms nothing", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "responder");
    const forged = session.keepalive();
    forged[20] = forged.readUInt8(20) ^ 1;
    await rig.send(forged);
    await rig.counted("udpNotAuthentic", 1);
    assert.deepEqual(rig.exceptions, []);
  });

  test("the next packet that is sealed, and the next that is opened, are reported when they are awaited", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator");
    const reports = (): number => rig.all("traffic-resumed").length;
    await app.send("not awaited", PEER_V4);
    await rig.nextPacket(session);
    rig.path.awaitTraffic();
    const forged = session.keepalive();
    forged[20] = forged.readUInt8(20) ^ 1;
    await rig.send(forged);
    await rig.counted("udpNotAuthentic", 1);
    assert.equal(reports(), 0);
    for (const text of ["awaited", "and not"]) {
      await app.send(text, PEER_V4);
      assert.equal(await rig.nextText(session), text);
    }
    await eventually("what is sealed is reported", () => reports() === 1);
    rig.path.awaitTraffic();
    for (let i = 0; i < 2; i++) await rig.send(session.keepalive());
    await eventually("what is opened is reported", () => reports() === 2);
    await rig.send(session.seal(app.packetFrom(PEER_V4, "data")));
    await app.next();
    assert.equal(reports(), 2);
  });

  test("a rekey by us: the new session seals at once, the old one still opens", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const first = rig.install(0, "initiator");
    await app.send("first", PEER_V4);
    await rig.nextPacket(first);
    const second = rig.install(0, "initiator");
    await app.send("second", PEER_V4);
    await rig.nextPacket(second);
    assert.equal(rig.path.readTraffic(0).sendCounter, 1);
    await rig.send(first.seal(app.packetFrom(PEER_V4, "old")));
    assert.equal(await app.next(), `old from ${PEER_V4}:7`);
    const third = rig.install(0, "initiator");
    await rig.send(first.seal(app.packetFrom(PEER_V4, "too old")));
    await rig.send(second.seal(app.packetFrom(PEER_V4, "previous")));
    await rig.send(third.seal(app.packetFrom(PEER_V4, "current")));
    assert.equal(await app.next(), `previous from ${PEER_V4}:7`);
    assert.equal(await app.next(), `current from ${PEER_V4}:7`);
    await rig.counted("udpUnknownSession", 1);
  });

  test("a rekey by the peer: the old session seals until the new one is confirmed, then still opens", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const old = rig.install(0, "initiator");
    const next = rig.install(0, "responder");
    await app.send("with the old", PEER_V4);
    await rig.nextPacket(old);
    await rig.send(next.keepalive());
    await eventually("it is confirmed", () => rig.all("session-confirmed").length === 1);
    await app.send("with the new", PEER_V4);
    await rig.nextPacket(next);
    await rig.send(old.seal(app.packetFrom(PEER_V4, "late")));
    assert.equal(await app.next(), `late from ${PEER_V4}:7`);
    rig.install(0, "responder");
    await rig.send(old.keepalive());
    await rig.counted("udpUnknownSession", 1);
  });

  test("an unconfirmed session gives way to the next one", async (t) => {
    const rig = await Rig.open(t, open);
    const abandoned = rig.install(0, "responder");
    const session = rig.install(0, "responder");
    await rig.send(abandoned.keepalive());
    await rig.counted("udpUnknownSession", 1);
    await rig.send(session.keepalive());
    await eventually("it is confirmed", () => rig.all("session-confirmed").length === 1);
    assert.equal(rig.all("session-confirmed")[0]?.localIndex, session.keys.localIndex);
  });

  test("when both ends initiate at once, our session seals and both open, until the next rekey", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const old = rig.install(0, "initiator");
    const theirs = rig.install(0, "responder");
    const ours = rig.install(0, "initiator");
    await rig.send(theirs.seal(app.packetFrom(PEER_V4, "by theirs")));
    await rig.send(ours.seal(app.packetFrom(PEER_V4, "by ours")));
    assert.equal(await app.next(), `by theirs from ${PEER_V4}:7`);
    assert.equal(await app.next(), `by ours from ${PEER_V4}:7`);
    await app.send("out", PEER_V4);
    await rig.nextPacket(ours);
    assert.deepEqual(rig.all("session-confirmed"), []);
    await rig.send(old.keepalive());
    await rig.counted("udpUnknownSession", 1);
    rig.install(0, "initiator");
    await rig.send(theirs.keepalive());
    await rig.counted("udpUnknownSession", 2);
  });

  test("an expired session neither opens nor seals, and one is wanted", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const lifetime = 250;
    const session = rig.install(0, "initiator", { expiresAfter: lifetime });
    const expiresAt = rig.path.now() + lifetime;
    await app.send("in time", PEER_V4);
    await rig.nextPacket(session);
    await eventually("its time is over", () => rig.path.now() >= expiresAt);
    await rig.send(session.keepalive());
    await rig.counted("udpExpiredSession", 1);
    assert.deepEqual(rig.exceptions, []);
    await app.send("too late", PEER_V4);
    rig.path.sendKeepalive(0);
    await eventually("a session is wanted", () => rig.all("session-wanted").length === 1);
    const fresh = rig.install(0, "initiator");
    assert.equal(await rig.nextText(fresh), "too late");
  });

  test("a dropped session is forgotten; its peer has none", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator");
    await app.send("with it", PEER_V4);
    await rig.nextPacket(session);
    rig.path.dropSession(session.keys.localIndex);
    await app.send("without it", PEER_V4);
    await eventually("a session is wanted", () => rig.all("session-wanted").length === 1);
    assert.equal(rig.path.readTraffic(0).sendCounter, 0);
  });

  test("peers' sessions are apart: same counters, both ways", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const sessions = [rig.install(0, "initiator"), rig.install(1, "initiator")] as const;
    for (const [slot, address] of [[0, "10.77.1.5"] as const, [1, "10.77.2.5"] as const]) {
      await app.send(`to slot ${slot}`, address as typeof OUR_V4);
      assert.equal(await rig.nextText(sessions[slot]), `to slot ${slot}`);
      await rig.send(sessions[slot].seal(app.packetFrom(address as typeof OUR_V4, `from slot ${slot}`)));
      assert.equal(await app.next(), `from slot ${slot} from ${address}:7`);
      assert.equal(rig.path.readTraffic(slot).receivedPackets, 1);
    }
  });
}
