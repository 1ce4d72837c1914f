import assert from "node:assert/strict";
import { uptime } from "node:os";
import { test } from "node:test";
import { MeshError } from "@mesh/core/errors";
import { App, ip, MTU, type OpenDatapath, OUR_V4, PEER_V4, Rig, TUN_NAME } from "./rig.ts";

export function lifetimeCases(open: OpenDatapath): void {
  const options = { tunName: TUN_NAME, mtu: MTU, udpPort: 0, onExceptions: () => {} };

  test("info says what was opened, and time is boot time", async (t) => {
    const { path } = await Rig.open(t, open);
    assert.equal(path.info.tunName, TUN_NAME);
    assert.equal(path.info.mtu, MTU);
    assert.ok(path.info.udpPort > 0);
    assert.ok(Math.abs(path.now() - uptime() * 1_000) < 2_000);
  });

  test("a name or a port in use is said as such, and nothing stays behind", async (t) => {
    const { path } = await Rig.open(t, open);
    assert.throws(() => open(options), hasCode("datapath/tun-taken"));
    const port = path.info.udpPort;
    assert.throws(() => open({ ...options, tunName: "meshsuite1", udpPort: port }), hasCode("datapath/port-taken"));
    assert.throws(() => open({ ...options, tunName: "lo" }), hasCode("datapath/tun-taken"));
    for (const tunName of ["sixteen_letters_", "mesh%d", "a/b"])
      assert.throws(() => open({ ...options, tunName }), hasCode("datapath/tun-failed"));
    assert.doesNotMatch(ip("-o", "link"), /meshsuite1/);
  });

  test("close removes device and socket, may be repeated, and ends every other call", async (t) => {
    const { path, remote } = await Rig.open(t, open);
    const port = path.info.udpPort;
    await path.close();
    await path.close();
    assert.doesNotMatch(ip("-o", "link"), new RegExp(TUN_NAME));
    assert.throws(() => path.now());
    assert.throws(() => path.setHandshakeKey(new Uint8Array(32)));
    assert.throws(() => path.publishTable({ peers: [], roaming: [], routes: [] }));
    assert.throws(() => path.sendDatagram({ endpoint: remote.endpoint }, new Uint8Array(4)));
    assert.throws(() => path.readCounters());
    assert.throws(() => path.readTraffic(0));
    const again = open({ ...options, udpPort: port });
    assert.equal(again.info.udpPort, port);
    await again.close();
  });

  test("close in the middle of traffic, many times", async (t) => {
    for (let round = 0; round < 10; round++) {
      const rig = await Rig.open(t, open);
      const app = await App.open(t, OUR_V4);
      const session = rig.install(0, "responder");
      const sends: Promise<void>[] = [rig.send(session.keepalive())];
      for (let i = 0; i < 40; i++) {
        sends.push(app.send(Buffer.alloc(1000), PEER_V4), rig.send(session.seal(app.packetFrom(PEER_V4, "in"))));
        sends.push(rig.send(Buffer.from("216d7368", "hex")));
      }
      const all = Promise.allSettled(sends);
      await Promise.all(sends.slice(0, round * 10));
      await rig.path.close();
      const count = rig.exceptions.length;
      await all;
      assert.equal(rig.exceptions.length, count, "an exception was delivered after close");
    }
  });

  test("two at once do not touch each other", async (t) => {
    const rig = await Rig.open(t, open);
    const other = open({ ...options, tunName: "meshsuite1" });
    assert.notEqual(other.info.udpPort, rig.path.info.udpPort);
    await other.close();
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator");
    await app.send("alive", PEER_V4);
    await rig.nextPacket(session);
  });
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof MeshError, String(error));
    assert.equal(error.code, code);
    assert.ok(error.hint !== undefined);
    return true;
  };
}
