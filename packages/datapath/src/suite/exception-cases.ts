import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./eventually.ts";
import { handshakeMessage } from "./handshake-message.ts";
import { Remote } from "./remote.ts";
import { App, ip, type OpenDatapath, OUR_V4, PEER_V4, Rig, TUN_NAME } from "./rig.ts";

export function exceptionCases(open: OpenDatapath): void {
  test("handshake messages and our own kinds are handed over whole and in order", async (t) => {
    const rig = await Rig.open(t, open);
    const plain = [
      ["03000000", 64],
      ["216d7368", 1_500],
    ] as const;
    const others = plain.map(([head, length], i) => Buffer.concat([Buffer.from(head, "hex"), Buffer.alloc(length - 4, 0xa0 + i)]));
    const sent = [handshakeMessage(1), handshakeMessage(2, { sender: 0xffff_ffff }), ...others];
    const before = rig.path.now();
    for (const bytes of sent) await rig.send(bytes);
    await eventually("all are handed over", () => rig.exceptions.length >= sent.length);
    const got = rig.all("datagram");
    assert.deepEqual(
      got.map(({ bytes }) => Buffer.from(bytes).toString("hex")),
      sent.map((bytes) => bytes.toString("hex")),
    );
    for (const { from, receivedAt } of got) {
      assert.deepEqual(from, { endpoint: rig.remote.endpoint, socket: 0 }); // IPv4 is never shown as mapped IPv6
      assert.ok(receivedAt >= before && receivedAt <= rig.path.now());
    }
    assert.equal(rig.path.readCounters().udpMalformed, 0);
  });

  test("an IPv6 sender is reported as such", async (t) => {
    const rig = await Rig.open(t, open);
    const remote = await Remote.open("::1");
    t.after(() => remote.close());
    await remote.send(Buffer.from("216d7368", "hex"), rig.path.info.udpPort);
    await eventually("it is handed over", () => rig.exceptions.length === 1);
    assert.deepEqual(rig.all("datagram")[0]?.from, { endpoint: remote.endpoint, socket: 0 });
  });

  test("of a flood, what is not handed over is counted, and packets still pass", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator");
    const total = 20_000;
    const messages = [handshakeMessage(1), handshakeMessage(2), Buffer.from("216d7368", "hex")] as const;
    const accountedFor = (): number => {
      const { exceptionsLost, handshakeCookieSent, sourceOverBudget } = rig.path.readCounters();
      return rig.exceptions.length + exceptionsLost + handshakeCookieSent + sourceOverBudget;
    };
    let sent = 0;
    while (sent < total) {
      const burst = Array.from({ length: 100 }, (_, i) => rig.send(messages[i % 3] ?? messages[0]));
      sent += burst.length;
      await Promise.all(burst);
      // What the socket's buffer cannot hold is lost where nobody counts.
      await eventually("it keeps up", () => sent - accountedFor() < 5_000);
    }
    await rig.send(session.seal(app.packetFrom(PEER_V4, "passes")));
    assert.equal(await app.next(), `passes from ${PEER_V4}:7`);
    await eventually("all are accounted for", () => accountedFor() === total);
    assert.ok(rig.exceptions.length < total / 10);
  });

  test("datagrams are sent as they are, over both families, and errors are counted", async (t) => {
    const rig = await Rig.open(t, open);
    const bytes = Buffer.from("216d736801020304", "hex");
    rig.path.sendDatagram({ endpoint: rig.remote.endpoint }, bytes);
    assert.deepEqual(await rig.remote.next(), bytes);
    const remote = await Remote.open("::1");
    t.after(() => remote.close());
    rig.path.sendDatagram({ endpoint: remote.endpoint }, bytes);
    assert.deepEqual(await remote.next(), bytes);
    rig.path.sendDatagram({ endpoint: rig.remote.endpoint }, new Uint8Array(65_508)); // one byte more than UDP carries
    assert.equal(rig.path.readCounters().udpSendErrors, 1);
  });

  test("a sent datagram comes from the port that info names", async (t) => {
    const rig = await Rig.open(t, open);
    const other = open({ tunName: "meshsuite1", mtu: 1420, udpPort: 0, onExceptions: (batch) => rig.exceptions.push(...batch) });
    t.after(() => other.close());
    rig.path.sendDatagram({ endpoint: { ip: "127.0.0.1" as typeof OUR_V4, port: other.info.udpPort } }, Buffer.from("216d7368", "hex"));
    await eventually("it arrives", () => rig.exceptions.length === 1);
    assert.deepEqual(rig.all("datagram")[0]?.from.endpoint, { ip: "127.0.0.1", port: rig.path.info.udpPort });
  });

  test("packets that cannot be sent are counted, and later ones leave", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator");
    rig.path.setWays(0, [{ endpoint: { ip: "203.0.113.9" as typeof OUR_V4, port: 9 } }]); // no route there
    await app.send("unreachable", PEER_V4);
    await rig.counted("udpSendErrors", 1);
    rig.path.setWays(0, [{ endpoint: rig.remote.endpoint }]);
    await app.send("reachable", PEER_V4);
    assert.equal(await rig.nextText(session), "reachable");
  });

  test("a TUN device taken away is reported once", async (t) => {
    const rig = await Rig.open(t, open);
    ip("link", "delete", "dev", TUN_NAME);
    await eventually("the engine fails", () => rig.all("engine-failed").length === 1);
    assert.match(rig.all("engine-failed")[0]?.reason ?? "", /TUN/);
    rig.path.publishTable({ peers: [], roaming: [], routes: [] }); // calls still return
    await rig.path.close();
  });
}
