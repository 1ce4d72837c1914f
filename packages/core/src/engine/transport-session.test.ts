import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "../../node-crypto.ts";
import { readTransportHeader } from "./transport-message.ts";
import { REJECT_AFTER_MESSAGES, TransportSession } from "./transport-session.ts";

const crypto = nodeCrypto();

test("what one end seals the other opens, once", () => {
  const [a, b] = ends();
  const datagram = a.seal(Uint8Array.of(1, 2, 3), 1420);
  const { counter } = readTransportHeader(datagram);
  const opened = b.open(counter, datagram, 0);
  assert.ok(opened.ok);
  assert.deepEqual([...opened.plaintext], [1, 2, 3, ...new Array(13).fill(0)]);
  assert.deepEqual(b.open(counter, datagram, 0), { ok: false, fault: "udpReplayed" });
});

test("a forged datagram closes no window", () => {
  const [a, b] = ends();
  const datagram = a.seal(Uint8Array.of(1), 1420);
  const forged = datagram.slice();
  forged[20] = (forged[20] ?? 0) ^ 1;
  assert.deepEqual(b.open(0n, forged, 0), { ok: false, fault: "udpNotAuthentic" });
  assert.equal(b.open(0n, datagram, 0).ok, true);
});

test("its last counter is REJECT_AFTER_MESSAGES - 1, both ways", () => {
  const [a, b] = ends();
  a.sendCounter = REJECT_AFTER_MESSAGES - 1n;
  assert.equal(a.canSeal(0), true);
  const last = a.seal(new Uint8Array(), 1420);
  assert.equal(a.canSeal(0), false);
  const { counter } = readTransportHeader(last);
  assert.equal(counter, 2n ** 64n - 2n ** 13n - 2n);
  assert.equal(b.open(counter, last, 0).ok, true);
  const beyond = a.seal(new Uint8Array(), 1420);
  assert.deepEqual(b.open(readTransportHeader(beyond).counter, beyond, 0), { ok: false, fault: "udpExpiredSession" });
});

test("at its expiry it neither seals nor opens", () => {
  const [a, b] = ends();
  const datagram = a.seal(new Uint8Array(), 1420);
  assert.equal(a.canSeal(999), true);
  assert.equal(a.canSeal(1_000), false);
  assert.deepEqual(b.open(0n, datagram, 1_000), { ok: false, fault: "udpExpiredSession" });
  assert.equal(b.open(0n, datagram, 999).ok, true);
});

test("keys are copied and wiped from the caller's memory; wrong ones are refused", () => {
  const [sendKey, receiveKey] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const fields = { slot: 0, localIndex: 1, remoteIndex: 2, role: "initiator", expiresAt: 1_000 } as const;
  new TransportSession(crypto, { ...fields, sendKey, receiveKey });
  assert.deepEqual([...sendKey, ...receiveKey], new Array(64).fill(0));
  assert.throws(() => new TransportSession(crypto, { ...fields, sendKey: new Uint8Array(31), receiveKey }), RangeError);
  assert.throws(() => new TransportSession(crypto, { ...fields, sendKey, receiveKey, expiresAt: Number.NaN }), RangeError);
});

test("a wiped session opens nothing", () => {
  const [a, b] = ends();
  const datagram = a.seal(Uint8Array.of(1), 1420);
  b.wipe();
  assert.deepEqual(b.open(0n, datagram, 0), { ok: false, fault: "udpNotAuthentic" });
});

function ends(): [TransportSession, TransportSession] {
  const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
  const fields = { slot: 0, localIndex: 1, remoteIndex: 1, expiresAt: 1_000 } as const;
  return [
    new TransportSession(crypto, { ...fields, role: "initiator", sendKey: key(1), receiveKey: key(2) }),
    new TransportSession(crypto, { ...fields, role: "responder", sendKey: key(2), receiveKey: key(1) }),
  ];
}
