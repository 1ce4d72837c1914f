import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "../../node-crypto.ts";
import { isZero } from "../bytes/bytes.ts";
import { blake2s } from "../crypto/blake2s.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { mac1Of, senderIndexOf } from "../wire/handshake-message.ts";
import { cookieKey, createCookieReply } from "./cookie.ts";
import { mac1Key } from "./macs.ts";
import { NoiseInitiator, NoiseResponder } from "./noise-ikpsk2.ts";
import { SessionTable } from "./session-table.ts";
import { FROM_A, KEY_A, only, SLOT } from "./two-tables-fixture.ts";

// Everything secret that passes through Crypto and Random, and whether it is zeros when nobody needs it any more.

interface Watched {
  readonly crypto: Crypto;
  /** Results of agreements, keys of seals, private keys: in the order they were used. */
  readonly secrets: Uint8Array[];
}

function watch(): Watched {
  const real = nodeCrypto();
  const secrets: Uint8Array[] = [];
  const noted = <T extends Uint8Array | undefined>(secret: T): T => {
    if (secret !== undefined) secrets.push(secret);
    return secret;
  };
  return {
    secrets,
    crypto: {
      ...real,
      agreementKey: (privateKey) => real.agreementKey(noted(privateKey)),
      agree: (key, publicKey) => noted(real.agree(key, publicKey)),
      seal: (key, ...rest) => real.seal(noted(key), ...rest),
      open: (key, ...rest) => real.open(noted(key), ...rest),
    },
  };
}

function assertWiped({ secrets }: Watched, least: number): void {
  assert.ok(secrets.length >= least, `${secrets.length} secrets`);
  for (const [i, secret] of secrets.entries()) assert.ok(isZero(secret), `secret ${i} of ${secrets.length}`);
}

const LOW_ORDER = new Uint8Array(32);

test("after a handshake no secret of it is left on either side, the session's keys excepted", () => {
  for (const end of ["answered", "given up", "not answered by its peer", "peer removed"]) {
    const [a, b] = [watch(), watch()];
    const [keyA, keyB] = [a.crypto.agreementKey(new Uint8Array(32).fill(1)), b.crypto.agreementKey(new Uint8Array(32).fill(2))];
    const tableA = new SessionTable({ crypto: a.crypto, random: new SeededRandom(1), key: keyA });
    const tableB = new SessionTable({ crypto: b.crypto, random: new SeededRandom(2), key: keyB });
    tableA.handle({ type: "peer-added", slot: SLOT, tunnelKey: keyB.publicKey }, 0);
    tableB.handle({ type: "peer-added", slot: SLOT, tunnelKey: keyA.publicKey }, 0);
    a.secrets.length = 0; // the static keys' own bytes belong to this test
    b.secrets.length = 0;
    const initiation = only(tableA.handle({ type: "session-wanted", slot: SLOT }, 10), "send-handshake").bytes;
    const reply = only(tableB.handle({ type: "message", from: FROM_A, bytes: initiation }, 20), "reply").bytes;
    assertWiped(b, 5);
    if (end === "answered") {
      const { session } = only(tableA.handle({ type: "message", from: FROM_A, bytes: reply }, 30), "install-session");
      assert.ok(!isZero(session.sendKey) && !isZero(session.receiveKey));
    }
    if (end === "given up") for (let at = tableA.wakeAt(); at !== undefined; at = tableA.wakeAt()) tableA.handle({ type: "timer" }, at);
    if (end === "not answered by its peer") {
      const forged = reply.slice();
      forged[50] = (forged[50] ?? 0) ^ 1;
      mac1Of(forged).set(blake2s(forged.subarray(0, -32), { key: mac1Key(keyA.publicKey), digestLength: 16 }));
      tableA.handle({ type: "message", from: FROM_A, bytes: forged }, 30);
    }
    if (end === "peer removed") tableA.handle({ type: "peer-removed", slot: SLOT }, 30);
    assertWiped(a, 5);
  }
});

test("when one of two agreements gives zero, the other is wiped", () => {
  const watched = watch();
  const { crypto } = watched;
  const [staticKey, ephemeralKey] = [1, 2].map((byte) => crypto.agreementKey(new Uint8Array(32).fill(byte)));
  assert.ok(staticKey !== undefined && ephemeralKey !== undefined);
  watched.secrets.length = 0;
  const options = { crypto, prologue: new Uint8Array(0), staticKey };
  const responder = new NoiseResponder(options);
  const keys = { ephemeralKey, remoteEphemeral: LOW_ORDER, remoteStatic: KEY_A.publicKey, presharedKey: new Uint8Array(32) };
  assert.equal(responder.write2(keys, new Uint8Array(0)), undefined);
  assertWiped(watched, 1);
  const initiator = new NoiseInitiator({ ...options, ephemeralKey, remoteStatic: LOW_ORDER });
  assert.equal(initiator.write1(new Uint8Array(0)), undefined);
  assertWiped(watched, 1);
});

test("a peer's preshared key is copied, and the copy goes with the peer; a cookie goes when it is replaced or the peer leaves", () => {
  const watched = watch();
  const real = watched.crypto;
  const cookies: Uint8Array[] = [];
  const crypto: Crypto = {
    ...real,
    open(key, ...rest) {
      const opened = real.open(key, ...rest);
      if (opened?.length === 16) cookies.push(opened);
      return opened;
    },
  };
  const presharedKey = new Uint8Array(32).fill(9);
  const copies: Uint8Array[] = [];
  presharedKey.slice = (...range) => {
    const copy = Uint8Array.prototype.slice.apply(presharedKey, range);
    copies.push(copy);
    return copy;
  };
  const table = new SessionTable({ crypto, random: new SeededRandom(1), key: crypto.agreementKey(new Uint8Array(32).fill(3)) });
  table.handle({ type: "peer-added", slot: SLOT, tunnelKey: KEY_A.publicKey, presharedKey }, 0);
  let sent = only(table.handle({ type: "session-wanted", slot: SLOT }, 10), "send-handshake").bytes;
  for (let n = 1; n <= 2; n++) {
    const options = { crypto: real, key: cookieKey(KEY_A.publicKey), mac1: mac1Of(sent) };
    const fields = { receiverIndex: senderIndexOf(sent), nonce: new Uint8Array(24), cookie: new Uint8Array(16).fill(n) };
    table.handle({ type: "message", from: FROM_A, bytes: createCookieReply(options, fields) }, 20);
    sent = only(table.handle({ type: "timer" }, table.wakeAt() ?? 0), "send-handshake").bytes;
  }
  assert.deepEqual(
    cookies.map((cookie) => cookie[0]),
    [0, 2],
  );
  table.handle({ type: "peer-removed", slot: SLOT }, 50_000);
  assert.ok(cookies.every(isZero));
  assert.ok(copies.length === 1 && copies.every(isZero));
  assert.equal(presharedKey[0], 9, "ours is not the caller's");
});
