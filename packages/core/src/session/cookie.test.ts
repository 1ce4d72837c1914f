import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "../../node-crypto.ts";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { formatHex } from "../bytes/hex.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { COOKIE_REPLY_BYTES, decodeHandshakeMessage, INITIATION_BYTES, mac1Of, mac2Of, RESPONSE_BYTES } from "../wire/handshake-message.ts";
import { COOKIE_BYTES, type CookieReplyOptions, cookieKey, createCookieReply, makeCookie, openCookieReply } from "./cookie.ts";
import { computeMac1, computeMac2, hasMac1, hasMac2, mac1Key } from "./macs.ts";

const crypto = nodeCrypto();
const PUBLIC_KEY = crypto.agreementKey(new Uint8Array(32).fill(1)).publicKey;
const OTHER_KEY = crypto.agreementKey(new Uint8Array(32).fill(2)).publicKey;
const FROM: Endpoint = { ip: "192.0.2.1" as Ip, port: 51_820 };

test("a cookie is of one secret, one address and one port", () => {
  const secret = new Uint8Array(32).fill(7);
  const cookies = [
    makeCookie(secret, FROM),
    makeCookie(new Uint8Array(32).fill(8), FROM),
    makeCookie(secret, { ...FROM, port: FROM.port ^ 1 }),
    makeCookie(secret, { ...FROM, port: FROM.port ^ 0x100 }),
    makeCookie(secret, { ...FROM, ip: "192.0.2.2" as Ip }),
    makeCookie(secret, { ...FROM, ip: "2001:db8::1" as Ip }),
    makeCookie(secret, { ...FROM, ip: "2001:db8::2" as Ip }),
  ];
  assert.ok(cookies.every(({ length }) => length === COOKIE_BYTES));
  assert.equal(new Set(cookies.map(formatHex)).size, cookies.length);
  assert.deepEqual(makeCookie(secret, { ...FROM }), cookies[0]);
});

test("a reply carries the cookie to whoever sent the message with that mac1, and no flipped bit passes", () => {
  const random = new SeededRandom(1);
  const options: CookieReplyOptions = { crypto, key: cookieKey(PUBLIC_KEY), mac1: random.bytes(16) };
  const cookie = random.bytes(16);
  const bytes = createCookieReply(options, { receiverIndex: 0xdead_beef, nonce: random.bytes(24), cookie });
  assert.equal(bytes.length, COOKIE_REPLY_BYTES);
  const decoded = decodeHandshakeMessage(bytes);
  assert.ok(decoded.ok && decoded.value.type === "cookie-reply");
  assert.equal(decoded.value.receiverIndex, 0xdead_beef);
  assert.deepEqual(openCookieReply(options, decoded.value), cookie);
  assert.equal(openCookieReply({ ...options, mac1: random.bytes(16) }, decoded.value), undefined);
  assert.equal(openCookieReply({ ...options, key: cookieKey(OTHER_KEY) }, decoded.value), undefined);
  for (let bit = 64; bit < COOKIE_REPLY_BYTES * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const other = decodeHandshakeMessage(flipped);
    assert.ok(other.ok && other.value.type === "cookie-reply");
    assert.equal(openCookieReply(options, other.value), undefined, `bit ${bit}`);
  }
});

test("mac1 and mac2 of both messages: of this key, this cookie and every byte in front", () => {
  for (const size of [INITIATION_BYTES, RESPONSE_BYTES]) {
    const random = new SeededRandom(size);
    const bytes = random.bytes(size);
    const [key, cookie] = [mac1Key(PUBLIC_KEY), random.bytes(16)];
    mac1Of(bytes).set(computeMac1(bytes, key));
    mac2Of(bytes).set(computeMac2(bytes, cookie));
    assert.ok(hasMac1(crypto, bytes, key) && hasMac2(crypto, bytes, cookie));
    assert.ok(!hasMac1(crypto, bytes, mac1Key(OTHER_KEY)));
    assert.ok(!hasMac2(crypto, bytes, random.bytes(16)));
    for (let at = 0; at < size; at++) {
      const other = bytes.slice();
      other[at] = (other[at] ?? 0) ^ 0x80;
      assert.equal(hasMac1(crypto, other, key), at >= size - 16, `byte ${at}`);
      assert.equal(hasMac2(crypto, other, cookie), false, `byte ${at}`);
    }
  }
});
