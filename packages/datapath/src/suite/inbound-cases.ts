import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "@mesh/core/ports";
import { Remote } from "./remote.ts";
import { App, type OpenDatapath, OUR_V4, OUR_V6, PEER_V4, PEER_V6, Rig } from "./rig.ts";

/** RFC 6479 with 8,192 bits, one word of which is always being cleared. */
const REPLAY_WINDOW = 8_128n;

export function inboundCases(open: OpenDatapath): void {
  for (const [family, to, from] of [["IPv4", OUR_V4, PEER_V4] as const, ["IPv6", OUR_V6, PEER_V6] as const]) {
    test(`an ${family} packet comes out of the tunnel, without its padding`, async (t) => {
      const rig = await Rig.open(t, open);
      const session = rig.install(0, "initiator");
      const app = await App.open(t, to);
      await rig.send(session.seal(app.packetFrom(from, "hello")));
      assert.equal(await app.next(), `hello from ${from}:7`);
      const { receivedBytes, receivedPackets, dataReceivedAt, authenticatedReceivedAt } = rig.path.readTraffic(0);
      assert.deepEqual([receivedBytes, receivedPackets], [app.packetFrom(from, "hello").length, 1]);
      assert.ok(dataReceivedAt > 0 && dataReceivedAt === authenticatedReceivedAt);
      assert.equal(rig.deliveredBytes(), receivedBytes);
    });
  }

  test("a datagram may come from any address and over IPv6: the session says who it is", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    const app = await App.open(t, OUR_V4);
    const elsewhere = await Remote.open("::1");
    t.after(() => elsewhere.close());
    await elsewhere.send(session.seal(app.packetFrom(PEER_V4, "moved")), rig.path.info.udpPort);
    assert.equal(await app.next(), `moved from ${PEER_V4}:7`);
  });

  test("a keepalive is authenticated and delivers nothing", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    const app = await App.open(t, OUR_V4);
    await rig.send(session.keepalive());
    await rig.send(session.seal(app.packetFrom(PEER_V4, "after")));
    assert.equal(await app.next(), `after from ${PEER_V4}:7`);
    assert.equal(rig.path.readTraffic(0).receivedPackets, 1);
  });

  test("a datagram heard twice is delivered once", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    const app = await App.open(t, OUR_V4);
    const datagram = session.seal(app.packetFrom(PEER_V4, "once"));
    for (const bytes of [datagram, datagram, session.seal(app.packetFrom(PEER_V4, "then"))]) await rig.send(bytes);
    assert.equal(await app.next(), `once from ${PEER_V4}:7`);
    assert.equal(await app.next(), `then from ${PEER_V4}:7`);
    await rig.counted("udpReplayed", 1);
  });

  test("counters may come out of order within the window, not beyond it", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    const app = await App.open(t, OUR_V4);
    const last = 20_000n;
    for (const counter of [last, last - REPLAY_WINDOW, last - 1n, last - REPLAY_WINDOW - 1n, last + 1n]) {
      await rig.send(session.seal(app.packetFrom(PEER_V4, `${counter}`), counter));
    }
    for (const counter of [last, last - REPLAY_WINDOW, last - 1n, last + 1n])
      assert.equal(await app.next(), `${counter} from ${PEER_V4}:7`);
    await rig.counted("udpReplayed", 1);
  });

  test("a counter beyond REJECT_AFTER_MESSAGES is refused", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    const app = await App.open(t, OUR_V4);
    const limit = 2n ** 64n - 2n ** 13n - 1n;
    await rig.send(session.seal(app.packetFrom(PEER_V4, "beyond"), limit));
    await rig.send(session.seal(app.packetFrom(PEER_V4, "last"), limit - 1n));
    assert.equal(await app.next(), `last from ${PEER_V4}:7`);
    await rig.counted("udpExpiredSession", 1);
  });

  test("every flipped bit of a datagram is noticed, and a forged counter closes no window", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    const app = await App.open(t, OUR_V4);
    const datagram = session.seal(app.packetFrom(PEER_V4, "whole"));
    for (let bit = 8 * 8; bit < datagram.length * 8; bit++) {
      const forged = Buffer.from(datagram);
      forged[bit >> 3] = forged.readUInt8(bit >> 3) ^ (1 << (bit & 7));
      await rig.send(forged);
    }
    await rig.send(datagram);
    assert.equal(await app.next(), `whole from ${PEER_V4}:7`);
    const counters = rig.path.readCounters();
    // A counter near 2^64 is refused by its size, all others by the tag.
    assert.equal(counters.udpNotAuthentic + counters.udpExpiredSession, (datagram.length - 8) * 8);
    assert.equal(rig.path.readTraffic(0).receivedPackets, 1);
  });

  test("an index that is no session's is counted", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    rig.path.dropSession(session.keys.localIndex);
    rig.path.dropSession(session.keys.localIndex);
    await rig.send(session.keepalive());
    await rig.counted("udpUnknownSession", 1);
  });

  test("the inner source must be the sender's by longest prefix", async (t) => {
    const rig = await Rig.open(t, open);
    const sessions = [rig.install(0, "initiator"), rig.install(1, "initiator")] as const;
    const app = await App.open(t, OUR_V4);
    const app6 = await App.open(t, OUR_V6);
    const nested = "10.77.1.200" as Ip;
    await rig.send(sessions[0].seal(app.packetFrom("10.77.2.5" as Ip, "of slot 1")));
    await rig.send(sessions[0].seal(app.packetFrom(nested, "inside, but of slot 1")));
    await rig.send(sessions[0].seal(app.packetFrom("192.0.2.1" as Ip, "of nobody")));
    await rig.send(sessions[1].seal(app.packetFrom(PEER_V4, "of slot 0")));
    await rig.send(sessions[1].seal(app6.packetFrom(PEER_V6, "of slot 0")));
    await rig.send(sessions[1].seal(app.packetFrom(nested, "its own")));
    assert.equal(await app.next(), `its own from ${nested}:7`);
    await rig.counted("udpSourceNotAllowed", 5);
  });

  test("what is no whole IP packet inside is counted", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    const app = await App.open(t, OUR_V4);
    const packet = app.packetFrom(PEER_V4, "intact");
    const edits: ((bytes: Buffer) => Buffer)[] = [
      (bytes) => bytes.subarray(0, 16),
      (bytes) => with8(bytes, 0, 0x55), // version 5
      (bytes) => with8(bytes, 0, 0x44), // a header of 16 bytes
      (bytes) => with8(bytes, 3, 200), // longer than there is
      (bytes) => with8(bytes, 3, 19), // shorter than its header
      (bytes) => with8(with8(bytes, 0, 0x60), 5, 200), // IPv6, longer than there is
    ];
    for (const edit of edits) await rig.send(session.seal(edit(Buffer.from(packet))));
    await rig.send(session.seal(packet));
    assert.equal(await app.next(), `intact from ${PEER_V4}:7`);
    await rig.counted("udpInnerMalformed", edits.length);
  });

  test("datagrams of no known kind or size are counted, the empty and the largest too", async (t) => {
    const rig = await Rig.open(t, open);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator");
    const sizes: (readonly [string, ...number[]])[] = [
      ["01000000", 147, 149, 92, 64, 4],
      ["02000000", 91, 93, 148],
      ["03000000", 63, 65],
      ["04000000", 31, 16, 4],
      ["01000001", 148],
      ["00000000", 148, 32],
      ["05000000", 148],
      ["216d7368", 1_501, 65_507],
      ["206d7368", 100],
      ["246d7368", 100],
      ["216d7369", 100],
      ["04", 0, 1, 3],
    ];
    let count = 0;
    for (const [head, ...lengths] of sizes) {
      for (const length of lengths) {
        const bytes = Buffer.alloc(length);
        Buffer.from(head, "hex").copy(bytes);
        await rig.send(bytes);
        count++;
      }
    }
    await rig.send(session.seal(app.packetFrom(PEER_V4, "alive")));
    assert.equal(await app.next(), `alive from ${PEER_V4}:7`);
    await rig.counted("udpMalformed", count);
    assert.deepEqual(rig.exceptions, []);
  });

  test("a packet of the largest size passes, in fragments outside", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    const app = await App.open(t, OUR_V4);
    const text = "x".repeat(65_424); // 65,452 B inside, 65,488 B with padding and tag: the next multiple of 16 exceeds UDP
    await rig.send(session.seal(app.packetFrom(PEER_V4, text)));
    assert.equal(await app.next(), `${text} from ${PEER_V4}:7`);
  });

  test("a packet to a device that is down is counted", async (t) => {
    const rig = await Rig.open(t, open);
    const session = rig.install(0, "initiator");
    const app = await App.open(t, OUR_V4);
    rig.setLink("down");
    await rig.send(session.seal(app.packetFrom(PEER_V4, "lost")));
    await rig.counted("tunWriteErrors", 1);
    rig.setLink("up");
    await rig.send(session.seal(app.packetFrom(PEER_V4, "found")));
    assert.equal(await app.next(), `found from ${PEER_V4}:7`);
  });
}

function with8(bytes: Buffer, at: number, value: number): Buffer {
  bytes[at] = value;
  return bytes;
}
