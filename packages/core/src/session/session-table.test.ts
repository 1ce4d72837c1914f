import assert from "node:assert/strict";
import { test } from "node:test";
import { blake2s } from "../crypto/blake2s.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type Millis, minutes } from "../time/millis.ts";
import type { TrafficStamps } from "./session-event.ts";
import { SessionTable } from "./session-table.ts";
import {
  crypto,
  establish,
  FROM_A,
  FROM_B,
  initiate,
  KEY_A,
  KEY_B,
  only,
  SLOT,
  tables,
  toA,
  toB,
  types,
  WALL,
} from "./two-tables-fixture.ts";

const SILENT: TrafficStamps = { dataSentAt: 0, dataReceivedAt: 0, authenticatedSentAt: 0, authenticatedReceivedAt: 0, sendCounter: 0 };

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice();
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return flipped;
}

/** As anyone could who knows the receiver's public key. */
function withMac1(bytes: Uint8Array, receiverKey: Uint8Array): Uint8Array {
  const key = blake2s(Uint8Array.of(...new TextEncoder().encode("mac1----"), ...receiverKey));
  const end = bytes.length - 32;
  bytes.set(blake2s(bytes.subarray(0, end), { key, digestLength: 16 }), end);
  return bytes;
}

test("a handshake gives both ends the same keys, crosswise, and indices of each other", () => {
  for (const presharedKey of [undefined, new Uint8Array(32).fill(9)]) {
    const pair = tables(1, presharedKey === undefined ? {} : { presharedKey });
    const answered = toB(pair.b, initiate(pair.a, 10), 20);
    assert.equal(types(answered), "heard, install-session, reply");
    const finished = toA(pair.a, only(answered, "reply").bytes, 30);
    assert.equal(types(finished), "heard, install-session, send-keepalive");
    const ofB = only(answered, "install-session").session;
    const ofA = only(finished, "install-session").session;
    assert.deepEqual(ofA.sendKey, ofB.receiveKey);
    assert.deepEqual(ofA.receiveKey, ofB.sendKey);
    assert.notDeepEqual(ofA.sendKey, ofA.receiveKey);
    assert.deepEqual([ofA.remoteIndex, ofB.remoteIndex], [ofB.localIndex, ofA.localIndex]);
    assert.deepEqual([ofA.role, ofB.role, ofA.expiresAt, ofB.expiresAt], ["initiator", "responder", 180_030, 180_020]);
    assert.deepEqual(only(answered, "reply").to, FROM_A);
    assert.deepEqual(only(finished, "heard"), { type: "heard", slot: SLOT, from: FROM_B });
  }
});

test("the responder is established when its session is confirmed, and only once", () => {
  const pair = tables(1);
  const { localIndex } = only(toB(pair.b, initiate(pair.a, 10), 20), "install-session").session;
  assert.deepEqual(pair.b.view(SLOT), { established: false, attempts: 0 });
  pair.b.handle({ type: "session-confirmed", slot: SLOT, localIndex: localIndex + 1 }, 30);
  assert.deepEqual(pair.b.view(SLOT), { established: false, attempts: 0 });
  pair.b.handle({ type: "session-confirmed", slot: SLOT, localIndex }, 40);
  pair.b.handle({ type: "session-confirmed", slot: SLOT, localIndex }, 50);
  assert.deepEqual(pair.b.view(SLOT), { established: true, establishedAt: 40, attempts: 0 });
});

test("different preshared keys: the response is not authentic", () => {
  const { a } = tables(1);
  const { b } = tables(1, { presharedKey: new Uint8Array(32).fill(9) });
  assert.equal(types(toA(a, only(toB(b, initiate(a, 10), 20), "reply").bytes, 30)), "dropped not-authentic");
});

test("every bit of an initiation flipped: nothing changes, and the true one is still answered", () => {
  const { a, b } = tables(1);
  const bytes = initiate(a, 10);
  const before = [b.view(SLOT), b.wakeAt()];
  const mac1At = (bytes.length - 32) * 8;
  const mac2At = (bytes.length - 16) * 8; // mac2 is not looked at, as in WireGuard when not under load
  for (let bit = 0; bit < mac2At; bit++) {
    const effects = toB(b, flip(bytes, bit), 20);
    assert.match(types(effects), /^dropped (mac1-mismatch|unknown-kind|trailing-bytes|truncated|unknown-index)$/, `bit ${bit}`);
    if (bit < 64 || bit >= mac1At) continue; // with a new mac1 another sender index is another initiation: whitepaper 5.4.2
    const forged = withMac1(flip(bytes, bit), KEY_B.publicKey);
    assert.match(types(toB(b, forged, 20)), /^dropped (not-authentic|unknown-peer)$/, `bit ${bit}, mac1 of its own`);
  }
  assert.deepEqual([b.view(SLOT), b.wakeAt()], before);
  assert.equal(types(toB(b, bytes, 20)), "heard, install-session, reply");
});

test("every bit of a response flipped: nothing changes, and the true one is still taken, once", () => {
  const { a, b } = tables(1);
  const bytes = only(toB(b, initiate(a, 10), 20), "reply").bytes;
  const before = [a.view(SLOT), a.wakeAt()];
  const mac1At = (bytes.length - 32) * 8;
  const mac2At = (bytes.length - 16) * 8;
  for (let bit = 0; bit < mac2At; bit++) {
    const effects = toA(a, flip(bytes, bit), 30);
    assert.match(types(effects), /^dropped (mac1-mismatch|unknown-kind|trailing-bytes|truncated|unknown-index)$/, `bit ${bit}`);
    if (bit < 64 || bit >= mac1At) continue;
    const forged = withMac1(flip(bytes, bit), KEY_A.publicKey);
    assert.match(types(toA(a, forged, 30)), /^dropped (not-authentic|unknown-index)$/, `bit ${bit}, mac1 of its own`);
  }
  assert.deepEqual([a.view(SLOT), a.wakeAt()], before);
  assert.equal(types(toA(a, bytes, 30)), "heard, install-session, send-keepalive");
  assert.equal(types(toA(a, bytes, 40)), "dropped unknown-index");
});

test("an initiation is answered once, and never after a later one", () => {
  const { a, b } = tables(1);
  const first = initiate(a, 10);
  const second = only(a.handle({ type: "timer" }, a.wakeAt() ?? 0), "send-handshake").bytes;
  assert.equal(types(toB(b, second, 6_000)), "heard, install-session, reply");
  assert.equal(types(toB(b, second, 7_000)), "dropped replayed");
  assert.equal(types(toB(b, first, 8_000)), "dropped replayed");
});

test("initiations less than 20 ms apart are not answered", () => {
  const { a, b } = tables(1);
  const first = initiate(a, 10);
  const second = only(a.handle({ type: "timer" }, a.wakeAt() ?? 0), "send-handshake").bytes;
  toB(b, first, 6_000);
  assert.equal(types(toB(b, second, 6_019)), "dropped too-fast");
  assert.equal(types(toB(b, second, 6_020)), "heard, drop-session, install-session, reply");
});

test("an initiation of a stranger, a message for another key, a cookie reply", () => {
  const { a, b } = tables(1);
  const stranger = new SessionTable({ crypto, random: new SeededRandom(3), key: crypto.agreementKey(new Uint8Array(32).fill(0xc)) });
  stranger.handle({ type: "peer-added", slot: SLOT, tunnelKey: KEY_B.publicKey }, 0);
  const bytes = initiate(stranger, 10);
  assert.equal(types(toB(b, bytes, 20)), "dropped unknown-peer");
  assert.equal(types(toA(a, bytes, 20)), "dropped mac1-mismatch");
  const cookie = new Uint8Array(64);
  cookie[0] = 3;
  assert.equal(types(toA(a, cookie, 20)), "dropped unknown-index");
  assert.equal(types(toA(a, new Uint8Array(0), 20)), "dropped truncated");
});

test("an unanswered initiation is repeated every 5 to 5.333 s, given up after 90 s, and then begun anew", () => {
  const { a } = tables(1);
  let sentAt: Millis = 1_000;
  initiate(a, sentAt);
  let sent = 1;
  for (;;) {
    assert.equal(types(a.handle({ type: "session-wanted", slot: SLOT }, sentAt + 1)), "");
    const wakeAt = a.wakeAt() ?? assert.fail();
    assert.equal(types(a.handle({ type: "timer" }, wakeAt - 1)), "");
    const effects = a.handle({ type: "timer" }, wakeAt);
    if (effects[0]?.type === "handshake-failed") {
      assert.equal(wakeAt, 91_000);
      break;
    }
    only(effects, "send-handshake");
    assert.ok(wakeAt - sentAt >= 5_000 && wakeAt - sentAt <= 5_333);
    sentAt = wakeAt;
    assert.equal(a.view(SLOT)?.attempts, ++sent);
  }
  assert.ok(sent >= 17 && sent <= 18, `${sent} initiations`);
  assert.deepEqual([a.view(SLOT), a.wakeAt()], [{ established: false, attempts: 0 }, undefined]);
  initiate(a, 91_000 + 5_000);
});

test("both initiate at once: both sessions work, and one of the ends replaces them", () => {
  const { a, b } = tables(1);
  const fromA = initiate(a, 10);
  const fromB = initiate(b, 10);
  const answerOfB = only(toB(b, fromA, 20), "reply").bytes;
  const answerOfA = only(toA(a, fromB, 20), "reply").bytes;
  const installedA = only(toA(a, answerOfB, 30), "install-session").session;
  const installedB = only(toB(b, answerOfA, 30), "install-session").session;
  a.handle({ type: "session-confirmed", slot: SLOT, localIndex: installedB.remoteIndex }, 40);
  b.handle({ type: "session-confirmed", slot: SLOT, localIndex: installedA.remoteIndex }, 40);
  assert.ok(a.view(SLOT)?.established === true && b.view(SLOT)?.established === true);
  const stamps = { ...SILENT, dataSentAt: 120_500, authenticatedSentAt: 120_500, authenticatedReceivedAt: 120_400 };
  only(a.handle({ type: "traffic", slot: SLOT, stamps }, 120_600), "send-handshake");
});

test("a session that the peer initiated and confirmed ends our own attempt", () => {
  const { a, b } = tables(1);
  const late = only(toB(b, initiate(a, 10), 20), "reply").bytes;
  const { localIndex } = only(toA(a, initiate(b, 2_000), 2_010), "install-session").session;
  assert.equal(a.view(SLOT)?.attempts, 1);
  a.handle({ type: "session-confirmed", slot: SLOT, localIndex }, 2_020);
  assert.equal(a.view(SLOT)?.attempts, 0);
  assert.equal(types(toA(a, late, 2_030)), "dropped unknown-index");
});

test("no second handshake within 5 s of an initiation, or within 1 s of an answer", () => {
  const pair = tables(1);
  establish(pair, 1_000);
  assert.equal(types(pair.a.handle({ type: "session-wanted", slot: SLOT }, 5_999)), "");
  const again = initiate(pair.a, 6_000);
  toB(pair.b, again, 6_100);
  assert.equal(types(pair.b.handle({ type: "session-wanted", slot: SLOT }, 7_099)), "");
  initiate(pair.b, 7_100);
});

test("a peer that lost its sessions gets a new handshake at once, however short ago the last one was, and only one", () => {
  const pair = tables(1);
  establish(pair, 1_000);
  assert.equal(types(pair.a.handle({ type: "session-lost", slot: SLOT }, 1_100)), "send-handshake");
  assert.equal(types(pair.a.handle({ type: "session-lost", slot: SLOT }, 1_101)), "");
});

test("a clock that steps back does not lock the peer out", () => {
  const { a, b } = tables(1);
  toB(b, initiate(a, 10), 20);
  a.handle({ type: "wall-clock", offset: WALL - minutes(1 * 60) }, 30);
  const second = only(a.handle({ type: "timer" }, a.wakeAt() ?? 0), "send-handshake").bytes;
  assert.equal(types(toB(b, second, 6_000)), "heard, drop-session, install-session, reply");
});

test("rekey: by the initiator, at 120 s when it sends, at 165 s when it receives; by the responder never", () => {
  const sending = (at: Millis): TrafficStamps => ({ ...SILENT, dataSentAt: at, authenticatedSentAt: at, authenticatedReceivedAt: at });
  const receiving = (at: Millis): TrafficStamps => ({ ...SILENT, dataReceivedAt: at, authenticatedSentAt: 1, authenticatedReceivedAt: at });
  const keptAlive = (at: Millis): TrafficStamps => ({ ...receiving(at), authenticatedSentAt: at });
  const trace = (table: SessionTable, stamps: TrafficStamps): string =>
    types(table.handle({ type: "traffic", slot: SLOT, stamps }, stamps.authenticatedReceivedAt));
  const pair = tables(1);
  establish(pair, 0);
  assert.equal(trace(pair.a, sending(119_999)), "");
  assert.equal(trace(pair.a, receiving(164_999)), "");
  assert.equal(trace(pair.b, sending(170_000)), "");
  assert.equal(trace(pair.a, receiving(165_000)), "send-handshake");
  const other = tables(2);
  establish(other, 0);
  assert.equal(trace(other.a, sending(120_000)), "send-handshake");
  const quiet = tables(4);
  establish(quiet, 0);
  assert.equal(trace(quiet.a, keptAlive(119_999)), "");
  assert.equal(trace(quiet.a, keptAlive(120_000)), "send-handshake", "a keepalive is sent, too");
  const counted = tables(3);
  establish(counted, 0);
  assert.equal(trace(counted.b, { ...sending(1_000), sendCounter: 2 ** 60 - 1_024 }), "");
  assert.equal(trace(counted.b, { ...sending(1_000), sendCounter: 2 ** 60 }), "send-handshake");
});

test("data sent and nothing heard for 15 to 15.333 s: a new handshake; data heard and nothing sent for 10 s: a keepalive", () => {
  const pair = tables(1);
  establish(pair, 1_000);
  const sent = { ...SILENT, dataSentAt: 20_000, authenticatedSentAt: 20_000, authenticatedReceivedAt: 1_000 };
  pair.a.handle({ type: "traffic", slot: SLOT, stamps: sent }, 20_100);
  pair.a.handle({ type: "traffic", slot: SLOT, stamps: { ...sent, dataSentAt: 30_000, authenticatedSentAt: 30_000 } }, 30_100);
  assert.equal(types(pair.a.handle({ type: "timer" }, 34_999)), "");
  const silentAt = pair.a.wakeAt() ?? assert.fail();
  assert.ok(silentAt >= 35_000 && silentAt <= 35_333, `${silentAt}`);
  assert.equal(types(pair.a.handle({ type: "timer" }, silentAt - 1)), "");
  assert.equal(types(pair.a.handle({ type: "timer" }, silentAt)), "send-handshake");

  const received = { ...SILENT, dataReceivedAt: 20_000, authenticatedSentAt: 1_000, authenticatedReceivedAt: 20_000 };
  pair.b.handle({ type: "traffic", slot: SLOT, stamps: received }, 20_100);
  assert.equal(types(pair.b.handle({ type: "timer" }, 29_999)), "");
  assert.equal(types(pair.b.handle({ type: "timer" }, 30_000)), "send-keepalive");
  pair.b.handle({ type: "traffic", slot: SLOT, stamps: received }, 30_001);
  assert.equal(types(pair.b.handle({ type: "timer" }, 60_000)), "");
});

test("a session is dropped at 180 s, and all of them when the peer is removed", () => {
  const pair = tables(1);
  const { ofA, ofB } = establish(pair, 1_000);
  assert.equal(types(pair.a.handle({ type: "timer" }, 180_999)), "");
  assert.equal(only(pair.a.handle({ type: "timer" }, 181_000), "drop-session").localIndex, ofA.localIndex);
  assert.deepEqual(pair.a.view(SLOT), { established: false, establishedAt: 1_000, attempts: 0 });
  assert.equal(only(pair.b.handle({ type: "peer-removed", slot: SLOT }, 2_000), "drop-session").localIndex, ofB.localIndex);
  assert.deepEqual([pair.b.view(SLOT), pair.b.wakeAt()], [undefined, undefined]);
  assert.equal(types(toB(pair.b, initiate(pair.a, 190_000), 190_010)), "dropped unknown-peer");
});

test("a peer added again keeps its sessions, with another key it loses them", () => {
  const pair = tables(1);
  establish(pair, 1_000);
  assert.equal(types(pair.a.handle({ type: "peer-added", slot: SLOT, tunnelKey: KEY_B.publicKey }, 2_000)), "");
  assert.equal(types(pair.a.handle({ type: "peer-added", slot: SLOT, tunnelKey: KEY_A.publicKey }, 2_000)), "drop-session");
  assert.deepEqual(pair.a.view(SLOT), { established: false, attempts: 0 });
});

test("a response that comes after its peer was removed and added again finds nobody", () => {
  const { a, b } = tables(1);
  const late = only(toB(b, initiate(a, 10), 20), "reply").bytes;
  a.handle({ type: "peer-removed", slot: SLOT }, 30);
  a.handle({ type: "peer-added", slot: SLOT, tunnelKey: KEY_B.publicKey }, 40);
  assert.equal(types(toA(a, late, 50)), "dropped unknown-index");
});

test("a peer has one slot: added under another, it leaves the first", () => {
  const pair = tables(1);
  establish(pair, 1_000);
  assert.equal(types(pair.a.handle({ type: "peer-added", slot: 8, tunnelKey: KEY_B.publicKey }, 2_000)), "drop-session");
  assert.deepEqual([pair.a.view(SLOT), pair.a.view(8)], [undefined, { established: false, attempts: 0 }]);
});

test("events of unknown slots and late timers change nothing", () => {
  const { a } = tables(1);
  assert.equal(types(a.handle({ type: "session-wanted", slot: 8 }, 1)), "");
  assert.equal(types(a.handle({ type: "peer-removed", slot: 8 }, 1)), "");
  assert.equal(types(a.handle({ type: "timer" }, minutes(9 * 60))), "");
  assert.equal(a.view(8), undefined);
});

test("a peer whose key is of low order: the handshake fails at once", () => {
  const { a } = tables(1);
  a.handle({ type: "peer-added", slot: 9, tunnelKey: new Uint8Array(32) }, 0);
  assert.equal(types(a.handle({ type: "session-wanted", slot: 9 }, 1)), "handshake-failed");
});
