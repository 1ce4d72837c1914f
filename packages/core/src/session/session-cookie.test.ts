import assert from "node:assert/strict";
import { test } from "node:test";
import { isZero } from "../bytes/bytes.ts";
import { HandshakeGuard } from "../engine/handshake-guard.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import type { Millis } from "../time/millis.ts";
import { mac1Of, mac2Of, senderIndexOf } from "../wire/handshake-message.ts";
import { cookieKey, createCookieReply } from "./cookie.ts";
import { hasMac2 } from "./macs.ts";
import type { SessionTable } from "./session-table.ts";
import { LOAD_LIMITS } from "./session-world-fixture.ts";
import { crypto, FROM_A, FROM_B, initiate, KEY_A, KEY_B, only, SLOT, tables, toA, toB, types } from "./two-tables-fixture.ts";

// The table's side of cookies: whom it takes one from, and what it does with it.

const COOKIE = new SeededRandom(5).bytes(16);
const OTHER_COOKIE = new SeededRandom(6).bytes(16);

/** As the owner of `key` would answer `sent`. */
function cookieReply(
  sent: Uint8Array,
  key: Uint8Array,
  options: { cookie?: Uint8Array; mac1?: Uint8Array; index?: number } = {},
): Uint8Array {
  const { cookie = COOKIE, mac1 = mac1Of(sent), index = senderIndexOf(sent) } = options;
  return createCookieReply(
    { crypto, key: cookieKey(key), mac1 },
    { receiverIndex: index, nonce: new SeededRandom(index).bytes(24), cookie },
  );
}

function retry(table: SessionTable): { readonly bytes: Uint8Array; readonly at: Millis } {
  const at = table.wakeAt() ?? assert.fail();
  return { bytes: only(table.handle({ type: "timer" }, at), "send-handshake").bytes, at };
}

test("a cookie for our initiation: nothing is sent or heard because of it, the retry carries mac2", () => {
  const { a } = tables(1);
  const sent = initiate(a, 10);
  assert.ok(isZero(mac2Of(sent)));
  const wakeAt = a.wakeAt();
  assert.equal(types(toA(a, cookieReply(sent, KEY_B.publicKey), 20)), "");
  assert.equal(a.wakeAt(), wakeAt, "at the retry timer, not before");
  const { bytes } = retry(a);
  assert.ok(hasMac2(crypto, bytes, COOKIE));
});

test("a cookie for our response: the answer to the initiator's retry carries mac2, and so does what we initiate", () => {
  const { a, b } = tables(1);
  const response = only(toB(b, initiate(a, 10), 20), "reply").bytes;
  assert.ok(isZero(mac2Of(response)));
  assert.equal(types(toB(b, cookieReply(response, KEY_A.publicKey), 30)), "");
  const { bytes: again, at } = retry(a);
  assert.ok(hasMac2(crypto, only(toB(b, again, at), "reply").bytes, COOKIE));
  assert.ok(hasMac2(crypto, initiate(b, at + 2_000), COOKIE));
});

test("a cookie is used for 120 s, over sessions, and not longer", () => {
  const pair = tables(1);
  toA(pair.a, cookieReply(initiate(pair.a, 10), KEY_B.publicKey), 1_000);
  const { bytes, at } = retry(pair.a);
  toA(pair.a, only(toB(pair.b, bytes, at), "reply").bytes, at);
  const lost = (now: Millis): Uint8Array => only(pair.a.handle({ type: "session-lost", slot: SLOT }, now), "send-handshake").bytes;
  assert.ok(hasMac2(crypto, lost(120_999), COOKIE));
  pair.a.handle({ type: "timer" }, 300_000);
  assert.ok(isZero(mac2Of(initiate(pair.a, 301_000))));
  const late = tables(2);
  toA(late.a, cookieReply(initiate(late.a, 10), KEY_B.publicKey), 1_000);
  late.a.handle({ type: "timer" }, 91_000);
  assert.ok(isZero(mac2Of(initiate(late.a, 121_000))));
});

test("a cookie reply that is not ours, not for that message, of a wrong key or repeated is dropped, and the true one is taken", () => {
  const { a } = tables(1);
  const sent = initiate(a, 10);
  const drop = (reply: Uint8Array): string => types(toA(a, reply, 20));
  assert.equal(drop(cookieReply(sent, KEY_B.publicKey, { index: senderIndexOf(sent) ^ 1 })), "dropped unknown-index");
  assert.equal(drop(cookieReply(sent, KEY_B.publicKey, { mac1: new Uint8Array(16) })), "dropped not-authentic");
  assert.equal(drop(cookieReply(sent, KEY_A.publicKey)), "dropped not-authentic");
  const reply = cookieReply(sent, KEY_B.publicKey);
  for (let bit = 64; bit < reply.length * 8; bit += 7) {
    const flipped = reply.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(drop(flipped), "dropped not-authentic", `bit ${bit}`);
  }
  assert.equal(drop(reply), "");
  assert.equal(drop(reply), "dropped replayed");
  assert.equal(drop(cookieReply(sent, KEY_B.publicKey, { cookie: OTHER_COOKIE })), "dropped replayed");
  const { bytes, at } = retry(a);
  assert.ok(hasMac2(crypto, bytes, COOKIE));
  assert.equal(types(toA(a, reply, at)), "dropped unknown-index", "of an initiation that was given up");
  toA(a, cookieReply(bytes, KEY_B.publicKey, { cookie: OTHER_COOKIE }), at);
  assert.ok(hasMac2(crypto, retry(a).bytes, OTHER_COOKIE), "the latest counts");
});

test("when initiations crossed, each message's cookie finds its message", () => {
  const { a, b } = tables(1);
  const initiation = initiate(a, 10);
  const response = only(toA(a, initiate(b, 10), 20), "reply").bytes;
  assert.equal(types(toA(a, cookieReply(initiation, KEY_B.publicKey), 30)), "");
  assert.equal(types(toA(a, cookieReply(response, KEY_B.publicKey, { cookie: OTHER_COOKIE }), 40)), "");
  assert.ok(hasMac2(crypto, retry(a).bytes, OTHER_COOKIE));
});

test("a cookie after the handshake is over, of a peer that left, or for a session that ended, finds nobody", () => {
  const pair = tables(1);
  const sent = initiate(pair.a, 10);
  const response = only(toB(pair.b, sent, 20), "reply").bytes;
  toA(pair.a, response, 30);
  assert.equal(types(toA(pair.a, cookieReply(sent, KEY_B.publicKey), 40)), "dropped unknown-index");
  pair.b.handle({ type: "timer" }, 181_000);
  assert.equal(types(toB(pair.b, cookieReply(response, KEY_A.publicKey), 181_001)), "dropped unknown-index");
  const again = initiate(pair.a, 182_000);
  pair.a.handle({ type: "peer-removed", slot: SLOT }, 182_001);
  pair.a.handle({ type: "peer-added", slot: SLOT, tunnelKey: KEY_B.publicKey }, 182_002);
  assert.equal(types(toA(pair.a, cookieReply(again, KEY_B.publicKey), 182_003)), "dropped unknown-index");
  assert.ok(isZero(mac2Of(initiate(pair.a, 182_004))));
});

for (const loaded of ["responder", "initiator", "both"]) {
  test(`with a guard under load in front of the ${loaded}, the handshake is done at the first retry`, () => {
    const { a, b } = tables(1);
    const guards = [
      {
        guard: new HandshakeGuard({ crypto, random: new SeededRandom(1), limits: LOAD_LIMITS }),
        table: a,
        key: KEY_A,
        from: FROM_B,
        isOn: loaded !== "responder",
      },
      {
        guard: new HandshakeGuard({ crypto, random: new SeededRandom(2), limits: LOAD_LIMITS }),
        table: b,
        key: KEY_B,
        from: FROM_A,
        isOn: loaded !== "initiator",
      },
    ];
    for (const { guard, key } of guards) guard.setKey(key.publicKey);
    /** Carries a message to one end, and what comes of it to the other, until nothing does. */
    const carry = (end: number, bytes: Uint8Array, now: Millis): void => {
      const { guard, table, from, isOn } = guards[end] ?? assert.fail();
      const verdict = isOn ? guard.judge(from.endpoint, bytes, now) : ({ pass: true } as const);
      if (!verdict.pass) {
        if (verdict.reply !== undefined) carry(1 - end, verdict.reply, now);
        return;
      }
      for (const effect of table.handle({ type: "message", from, bytes }, now))
        if (effect.type === "reply") carry(1 - end, effect.bytes, now);
    };
    carry(1, initiate(a, 10), 20);
    const rounds = loaded === "both" ? 2 : 1;
    for (let round = 1; round <= rounds; round++) {
      assert.equal(a.view(SLOT)?.established, false, `before retry ${round}`);
      const { bytes, at } = retry(a);
      carry(1, bytes, at);
    }
    assert.equal(a.view(SLOT)?.established, true);
  });
}
