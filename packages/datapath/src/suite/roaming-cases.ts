import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Ip } from "@mesh/core/ports";
import { eventually } from "./eventually.ts";
import { handshakeMessage } from "./handshake-message.ts";
import { Remote } from "./remote.ts";
import { App, type OpenDatapath, OUR_V4, PEER_V4, Rig, TABLE } from "./rig.ts";

export function roamingCases(open: OpenDatapath): void {
  test("a roaming peer is where its last authentic packet came from, whatever the family", async (t) => {
    const { rig, app, elsewhere, allHeard } = await roamingRig(t, open);
    const v6 = await Remote.open("::1");
    t.after(() => v6.close());
    const session = rig.install(0, "initiator");
    for (const [n, remote] of [elsewhere, v6, rig.remote, elsewhere].entries()) {
      await remote.send(n % 2 === 0 ? session.keepalive() : session.seal(app.packetFrom(PEER_V4, `${n}`)), rig.path.info.udpPort);
      if (n % 2 === 1) assert.equal(await app.next(), `${n} from ${PEER_V4}:7`);
      await allHeard();
      await app.send(`to place ${n}`, PEER_V4);
      assert.match(session.open(await remote.next()).plaintext.toString("latin1"), new RegExp(`to place ${n}`));
    }
  });

  test("what is not authentic, was heard before, or carries no session moves nobody", async (t) => {
    const { rig, app, elsewhere } = await roamingRig(t, open);
    const session = rig.install(0, "initiator");
    const heardBefore = session.keepalive();
    await rig.send(heardBefore);
    const forged = session.keepalive();
    forged[forged.length - 1] = forged.readUInt8(forged.length - 1) ^ 1;
    const cookieReply = Buffer.concat([Buffer.from("03000000", "hex"), Buffer.alloc(60)]);
    const datagrams = [forged, heardBefore, handshakeMessage(1), handshakeMessage(2), cookieReply, Buffer.from("216d7368", "hex")];
    for (const datagram of datagrams) await elsewhere.send(datagram, rig.path.info.udpPort);
    await eventually("all are handed over", () => rig.all("datagram").length === 4);
    await rig.counted("udpNotAuthentic", 1);
    await rig.counted("udpReplayed", 1);
    await app.send("stays", PEER_V4);
    assert.equal(await rig.nextText(session), "stays");
    assert.equal(elsewhere.waiting, 0);
  });

  test("a packet whose inner source is not its sender's moves the sender all the same: it is authentic", async (t) => {
    const { rig, app, elsewhere } = await roamingRig(t, open);
    const session = rig.install(0, "initiator");
    await elsewhere.send(session.seal(app.packetFrom("192.0.2.1" as Ip, "of nobody")), rig.path.info.udpPort);
    await rig.counted("udpSourceNotAllowed", 1);
    await app.send("moved", PEER_V4);
    session.open(await elsewhere.next());
  });

  test("a peer that does not roam stays where it was put", async (t) => {
    const { rig, app, elsewhere } = await roamingRig(t, open);
    const session = rig.install(1, "initiator");
    await elsewhere.send(session.keepalive(), rig.path.info.udpPort);
    await eventually("it is heard", () => rig.path.readTraffic(1).authenticatedReceivedAt > 0);
    await app.send("stays", "10.77.2.5" as Ip);
    assert.equal(await rig.nextText(session), "stays");
  });

  test("one that was nowhere gets an endpoint by its first packet, and what waited leaves", async (t) => {
    const { rig, app, elsewhere } = await roamingRig(t, open);
    const session = rig.install(0, "responder", { hasEndpoint: false });
    await app.send("waits", PEER_V4);
    await elsewhere.send(session.keepalive(), rig.path.info.udpPort);
    assert.match(session.open(await elsewhere.next()).plaintext.toString("latin1"), /waits/);
  });

  test("an endpoint that is set counts until the next packet; a table without roaming ends it", async (t) => {
    const { rig, app, elsewhere, allHeard } = await roamingRig(t, open);
    const session = rig.install(0, "initiator");
    await elsewhere.send(session.keepalive(), rig.path.info.udpPort);
    await allHeard();
    await app.send("moved", PEER_V4);
    session.open(await elsewhere.next());
    rig.path.setWays(0, [{ endpoint: rig.remote.endpoint }]);
    await app.send("set", PEER_V4);
    assert.equal(await rig.nextText(session), "set");
    rig.path.publishTable(TABLE);
    await elsewhere.send(session.seal(app.packetFrom(PEER_V4, "heard")), rig.path.info.udpPort);
    await app.next();
    await app.send("still", PEER_V4);
    assert.equal(await rig.nextText(session), "still");
  });
}

interface RoamingRig {
  readonly rig: Rig;
  readonly app: App;
  /** Another port of the same host: where a peer moves to. */
  readonly elsewhere: Remote;
  /** Everything sent before has been dealt with. Slot 1 tells: datagrams are dealt with in order. */
  allHeard(): Promise<void>;
}

/** Slot 0 roams, slot 1 does not. */
async function roamingRig(t: TestContext, open: OpenDatapath): Promise<RoamingRig> {
  const rig = await Rig.open(t, open);
  const app = await App.open(t, OUR_V4);
  const elsewhere = await Remote.open();
  t.after(() => elsewhere.close());
  rig.path.publishTable({ ...TABLE, roaming: [0] });
  const witness = rig.install(1, "initiator");
  const allHeard = async (): Promise<void> => {
    await rig.send(witness.seal(app.packetFrom("10.77.2.5" as Ip, "heard")));
    assert.equal(await app.next(), "heard from 10.77.2.5:7");
  };
  return { rig, app, elsewhere, allHeard };
}
