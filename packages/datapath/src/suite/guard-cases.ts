import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { COOKIE_SECRET_FOR, DATAGRAMS_PER_SOURCE, HANDSHAKE_LOAD, HANDSHAKES_PER_SOURCE, UNDER_LOAD_FOR } from "@mesh/core/ports";
import { eventually } from "./eventually.ts";
import { handshakeMessage, openCookieReply } from "./handshake-message.ts";
import { Remote } from "./remote.ts";
import { ip, key, type OpenDatapath, Rig } from "./rig.ts";

const PROBE: Buffer = Buffer.from("216d7368", "hex");

/** Loads and budgets are real time's: what passes is bounded from below by the burst, from above by burst and rate. */
export function guardCases(open: OpenDatapath): void {
  test("until a handshake key is set no initiation or response comes through; all else does", async (t) => {
    const exceptions: unknown[] = [];
    const path = open({ tunName: "meshsuite1", mtu: 1420, udpPort: 0, onExceptions: (batch) => exceptions.push(...batch) });
    t.after(() => path.close());
    const remote = await Remote.open();
    t.after(() => remote.close());
    for (const message of [handshakeMessage(1), handshakeMessage(2), cookieReply(), PROBE]) await remote.send(message, path.info.udpPort);
    await eventually("all are judged", () => path.readCounters().handshakeNotForUs === 2 && exceptions.length === 2);
  });

  test("a message without a MAC1 for our key is counted and goes nowhere", async (t) => {
    const rig = await Rig.open(t, open);
    const messages = [
      handshakeMessage(1, { publicKey: key("another's") }),
      handshakeMessage(2, { publicKey: key("another's") }),
      handshakeMessage(1).fill(0, 148 - 32, 148 - 16),
    ];
    for (const type of [1, 2] as const) {
      const { length } = handshakeMessage(type);
      // Every byte that MAC1 covers but the type, and its own 16.
      for (let at = 4; at < length - 16; at++) messages.push(flipped(handshakeMessage(type), at * 8 + (at & 7)));
    }
    for (const message of messages) await rig.send(message);
    await rig.counted("handshakeNotForUs", messages.length);
    await rig.send(flipped(handshakeMessage(1), 147 * 8)); // the MAC2, which nobody looks at yet
    await eventually("it comes through", () => rig.exceptions.length === 1);
    assert.equal(rig.remote.waiting, 0);
  });

  test("a new key takes the place of the old one", async (t) => {
    const rig = await Rig.open(t, open);
    const publicKey = Uint8Array.from(key("new"));
    rig.path.setHandshakeKey(publicKey);
    publicKey.fill(0); // it was copied
    await rig.send(handshakeMessage(1));
    await rig.send(handshakeMessage(1, { publicKey: key("new"), sender: 7 }));
    await eventually("it comes through", () => rig.exceptions.length === 1);
    assert.deepEqual(Buffer.from(rig.all("datagram")[0]?.bytes ?? []).readUInt32LE(4), 7);
    await rig.counted("handshakeNotForUs", 1);
  });

  test("so many handshakes come through at once; others are asked for a cookie, each its own", async (t) => {
    const rig = await Rig.open(t, open);
    const startedAt = rig.path.now();
    const messages = Array.from({ length: HANDSHAKE_LOAD.burst + 60 }, (_, sender) =>
      handshakeMessage(sender % 2 === 0 ? 1 : 2, { sender }),
    );
    for (const message of messages) await rig.send(message);
    await judged(rig, messages.length);
    const passed = rig.all("datagram").length;
    assert.ok(passed >= HANDSHAKE_LOAD.burst && passed <= atMost(HANDSHAKE_LOAD, rig.path.now() - startedAt), `${passed} passed`);
    const cookies = new Set<string>();
    for (const message of messages.slice(passed)) cookies.add(openCookieReply(await rig.remote.next(), message).toString("hex"));
    assert.equal(cookies.size, 1); // all of one source
    assert.equal(rig.remote.waiting, 0);
  });

  test("under load, who shows the cookie of its address and port comes in, nobody else", async (t) => {
    const rig = await Rig.open(t, open);
    const [sameHost, otherHost] = [await opened(t, "127.0.0.1"), await opened(t, "127.0.0.2")];
    const cookie = await overload(rig);
    await rig.send(handshakeMessage(1, { sender: 1, cookie }));
    await rig.send(handshakeMessage(2, { sender: 2, cookie }));
    await eventually("both come through", () => sendersOf(rig).includes(1) && sendersOf(rig).includes(2));
    const refused = [
      { remote: sameHost, message: handshakeMessage(1, { sender: 3, cookie }) },
      { remote: otherHost, message: handshakeMessage(1, { sender: 4, cookie }) },
      { remote: rig.remote, message: flipped(handshakeMessage(1, { sender: 5, cookie }), 148 * 8 - 1) },
      { remote: rig.remote, message: handshakeMessage(2, { sender: 6, cookie: randomBytes(16) }) },
    ];
    for (const { remote, message } of refused) {
      await overload(rig);
      await remote.send(message, rig.path.info.udpPort);
      const answer = openCookieReply(await remote.next(), message);
      assert.equal(answer.equals(cookie), remote === rig.remote);
    }
    assert.deepEqual(
      sendersOf(rig).filter((sender) => sender !== OVERLOADING),
      [1, 2],
    );
  });

  test("a cookie stays the same for its two minutes, its nonce never does", async (t) => {
    const rig = await Rig.open(t, open);
    await overload(rig);
    const replies: Buffer[] = [];
    for (let n = 0; n < 50; n++) {
      await rig.send(handshakeMessage(1));
      replies.push(await rig.remote.next());
    }
    assert.equal(new Set(replies.map((reply) => openCookieReply(reply, handshakeMessage(1)).toString("hex"))).size, 1);
    assert.equal(new Set(replies.map((reply) => reply.toString("hex", 8, 32))).size, replies.length);
    assert.equal(COOKIE_SECRET_FOR, 120_000);
  });

  test("under load, of one source no more than its budget comes through, cookie or not", async (t) => {
    const rig = await Rig.open(t, open);
    const cookie = await overload(rig);
    const startedAt = rig.path.now();
    const total = 40;
    for (let n = 0; n < total; n++) {
      if (n % 10 === 9) await overload(rig);
      await rig.send(handshakeMessage(1, { sender: 1, cookie }));
    }
    const passed = (): number => sendersOf(rig).filter((sender) => sender === 1).length;
    await eventually("all are judged", () => passed() + rig.path.readCounters().sourceOverBudget === total);
    assert.ok(passed() >= HANDSHAKES_PER_SOURCE.burst && passed() <= atMost(HANDSHAKES_PER_SOURCE, rig.path.now() - startedAt));
  });

  test("load is over a second after the last message too many", async (t) => {
    const rig = await Rig.open(t, open);
    const startedAt = rig.path.now();
    await overload(rig);
    const passed = (): boolean => sendersOf(rig).includes(1);
    // Each of these takes a token, and 100 a second come back.
    while (!passed()) {
      await rig.send(handshakeMessage(1, { sender: 1 }));
      await eventually("it is judged", () => passed() || rig.remote.waiting > 0);
      while (rig.remote.waiting > 0) await rig.remote.next();
      await delay(TOKENS_COME_BACK);
      assert.ok(rig.path.now() - startedAt < UNDER_LOAD_FOR + 5_000, "load does not end");
    }
    const at = rig.all("datagram").find(({ bytes }) => senderOf(bytes) === 1)?.receivedAt ?? 0;
    assert.ok(at - startedAt >= UNDER_LOAD_FOR, `it came in ${at - startedAt} ms after the first`);
  });

  test("our own kinds and cookie replies of one source have a budget, other sources theirs", async (t) => {
    const rig = await Rig.open(t, open);
    const other = await opened(t, "127.0.0.2");
    const startedAt = rig.path.now();
    const total = DATAGRAMS_PER_SOURCE.burst + 80;
    for (let n = 0; n < total; n++) await rig.send(n % 2 === 0 ? PROBE : cookieReply());
    await eventually("all are judged", () => rig.exceptions.length + rig.path.readCounters().sourceOverBudget === total);
    const passed = rig.exceptions.length;
    assert.ok(passed >= DATAGRAMS_PER_SOURCE.burst && passed <= atMost(DATAGRAMS_PER_SOURCE, rig.path.now() - startedAt));
    for (let n = 0; n < 50; n++) await other.send(PROBE, rig.path.info.udpPort);
    await eventually("the other's come through", () => rig.exceptions.length >= passed + 50);
    await rig.send(handshakeMessage(1)); // whose budget is another
    await eventually("it comes through", () => sendersOf(rig).includes(0));
  });

  test("an IPv6 source is its /64", async (t) => {
    const rig = await Rig.open(t, open);
    const addresses = ["fd99:0:0:1::1", "fd99::1:8000:0:0:2", "fd99:0:0:2::1"];
    for (const address of addresses) ip("addr", "add", `${address}/128`, "dev", "lo", "nodad");
    t.after(() => {
      for (const address of addresses) ip("addr", "del", `${address}/128`, "dev", "lo");
    });
    await eventually("the addresses work", () =>
      addresses.every((address) => ip("-6", "route", "show", "table", "local").includes(` ${address} `)),
    );
    const [one, neighbour, stranger] = await Promise.all(addresses.map((address) => opened(t, address)));
    assert.ok(one !== undefined && neighbour !== undefined && stranger !== undefined);
    const startedAt = rig.path.now();
    for (let n = 0; n < DATAGRAMS_PER_SOURCE.burst; n++) await one.send(PROBE, rig.path.info.udpPort);
    for (let n = 0; n < 100; n++) await neighbour.send(PROBE, rig.path.info.udpPort);
    await eventually(
      "all are judged",
      () => rig.exceptions.length + rig.path.readCounters().sourceOverBudget === DATAGRAMS_PER_SOURCE.burst + 100,
    );
    assert.ok(rig.exceptions.length <= atMost(DATAGRAMS_PER_SOURCE, rig.path.now() - startedAt));
    const before = rig.exceptions.length;
    for (let n = 0; n < 100; n++) await stranger.send(PROBE, rig.path.info.udpPort);
    await eventually("the stranger's come through", () => rig.exceptions.length === before + 100);
  });
}

/** Milliseconds in which four tokens of HANDSHAKE_LOAD come back. */
const TOKENS_COME_BACK = 40;
/** Sender index of the messages that `overload` sends. */
const OVERLOADING = 0xffff_0000;

/** Sends handshakes until one is asked for a cookie: from now on, for UNDER_LOAD_FOR, all are. The remote's cookie. */
async function overload(rig: Rig): Promise<Buffer> {
  const before = rig.path.readCounters().handshakeCookieSent;
  const message = handshakeMessage(1, { sender: OVERLOADING });
  const isUnderLoad = (): boolean => rig.path.readCounters().handshakeCookieSent > before;
  // Under load already: one more is enough to make it last, if it finds the load's bucket empty.
  for (let sent = 0; !isUnderLoad() || sent < HANDSHAKE_LOAD.burst; sent += 20) {
    for (let n = 0; n < 20; n++) await rig.send(message);
    assert.ok(sent < 20 * HANDSHAKE_LOAD.burst, "it never gets under load");
  }
  await eventually("a cookie is sent", () => rig.remote.waiting > 0);
  const cookie = openCookieReply(await rig.remote.next(), message);
  await allAnswered(rig);
  return cookie;
}

/** Takes the replies to what was sent so far: the one to a last message is the last. */
async function allAnswered(rig: Rig): Promise<void> {
  const message = handshakeMessage(1, { sender: OVERLOADING + 1 });
  await rig.send(message);
  for (let isLast = false; !isLast; ) isLast = (await rig.remote.next()).readUInt32LE(4) === OVERLOADING + 1;
}

/** Every one of `count` messages has passed or been answered. */
function judged(rig: Rig, count: number): Promise<void> {
  return eventually("all are judged", () => rig.exceptions.length + rig.path.readCounters().handshakeCookieSent === count);
}

function atMost(rate: { readonly burst: number; readonly perSecond: number }, elapsed: number): number {
  return rate.burst + Math.ceil((elapsed / 1_000) * rate.perSecond) + 1;
}

function sendersOf(rig: Rig): number[] {
  return rig.all("datagram").map(({ bytes }) => senderOf(bytes));
}

function senderOf(bytes: Uint8Array): number {
  return bytes.length < 8 ? -1 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
}

async function opened(t: TestContext, address: string): Promise<Remote> {
  const remote = await Remote.open(address);
  t.after(() => remote.close());
  return remote;
}

function cookieReply(): Buffer {
  const bytes = randomBytes(64);
  bytes.writeUInt32LE(3, 0);
  return bytes;
}

function flipped(bytes: Buffer, bit: number): Buffer {
  bytes[bit >> 3] = bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7));
  return bytes;
}
