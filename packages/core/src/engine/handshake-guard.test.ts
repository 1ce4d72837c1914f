import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "../../node-crypto.ts";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { cookieKey, openCookieReply } from "../session/cookie.ts";
import { computeMac1, computeMac2, mac1Key } from "../session/macs.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import type { Millis } from "../time/millis.ts";
import {
  COOKIE_REPLY_TYPE,
  decodeHandshakeMessage,
  INITIATION_BYTES,
  INITIATION_TYPE,
  mac1Of,
  mac2Of,
  RESPONSE_BYTES,
  RESPONSE_TYPE,
} from "../wire/handshake-message.ts";
import { type GuardVerdict, HandshakeGuard } from "./handshake-guard.ts";

const crypto = nodeCrypto();
const OURS = crypto.agreementKey(new Uint8Array(32).fill(1)).publicKey;
const OTHER = crypto.agreementKey(new Uint8Array(32).fill(2)).publicKey;
const LIMITS = {
  handshakeLoad: { burst: 4, perSecond: 10 },
  underLoadFor: 1_000,
  handshakesPerSource: { burst: 5, perSecond: 20 },
  datagramsPerSource: { burst: 3, perSecond: 10 },
  maxSources: 16,
  cookieSecretFor: 120_000,
  contactFor: 180_000,
  strangers: {
    datagrams: { burst: 40, perSecond: 10 },
    cookies: { burst: 300, perSecond: 10 },
    again: { burst: 10, perSecond: 10 },
    handshakes: { burst: 20, perSecond: 10 },
    knockAgainFor: 15_000,
  },
};
const SENDER_INDEX = 0x8765_4321;

function source(host: number, port = 1_000): Endpoint {
  return { ip: `192.0.2.${host}` as Ip, port };
}

function openGuard(seed = 1): HandshakeGuard {
  const guard = new HandshakeGuard({ crypto, random: new SeededRandom(seed), limits: LIMITS });
  guard.setKey(OURS);
  return guard;
}

/** With a mac1 for `key`, and a mac2 when there is a cookie. All else is noise: the guard does not look at it. */
function message(
  options: { readonly size?: number; readonly key?: Uint8Array; readonly cookie?: Uint8Array; readonly seed?: number } = {},
): Uint8Array {
  const { size = INITIATION_BYTES, key = OURS, cookie, seed = 1 } = options;
  const bytes = new SeededRandom(seed).bytes(size);
  bytes.set([size === RESPONSE_BYTES ? RESPONSE_TYPE : INITIATION_TYPE, 0, 0, 0, 0x21, 0x43, 0x65, 0x87]);
  mac1Of(bytes).set(computeMac1(bytes, mac1Key(key)));
  if (cookie !== undefined) mac2Of(bytes).set(computeMac2(bytes, cookie));
  return bytes;
}

function word(verdict: GuardVerdict): string {
  return verdict.pass ? "pass" : verdict.counter;
}

/** What the sender of `sent` reads in the reply. */
function cookieIn(verdict: GuardVerdict, sent: Uint8Array): Uint8Array {
  assert.ok(!verdict.pass && verdict.reply !== undefined, word(verdict));
  const reply = decodeHandshakeMessage(verdict.reply);
  assert.ok(reply.ok && reply.value.type === "cookie-reply");
  assert.equal(reply.value.receiverIndex, SENDER_INDEX);
  return openCookieReply({ crypto, key: cookieKey(OURS), mac1: mac1Of(sent) }, reply.value) ?? assert.fail("not to be opened");
}

/** Empties the load bucket at `now`. */
function load(guard: HandshakeGuard, now: Millis): void {
  for (let i = 0; i <= LIMITS.handshakeLoad.burst; i++) guard.judge(source(250), message(), now);
}

test("what has no kind, or not the size of its kind, is malformed", () => {
  const guard = openGuard();
  const sizes = { 1: INITIATION_BYTES, 2: RESPONSE_BYTES, 3: 64 };
  for (const [type, size] of Object.entries(sizes)) {
    for (const length of [0, 3, 4, size - 1, size + 1, 65_535]) {
      const bytes = new Uint8Array(length);
      bytes[0] = Number(type);
      assert.equal(word(guard.judge(source(1), bytes, 0)), "udpMalformed", `type ${type}, ${length} B`);
    }
    for (const at of [1, 2, 3]) {
      const bytes = new Uint8Array(size);
      bytes.set([Number(type)]);
      bytes[at] = 1;
      assert.equal(word(guard.judge(source(1), bytes, 0)), "udpMalformed", `type ${type}, byte ${at}`);
    }
  }
  for (const start of ["00000000", "04000000", "05000000", "206d7368", "246d7368", "216d7369", "21000000"])
    assert.equal(word(guard.judge(source(1), Buffer.from(start.padEnd(128, "0"), "hex"), 0)), "udpMalformed", start);
});

test("probes pass up to a frame's size, and cookie replies pass; a relay's kinds are not for it", () => {
  const guard = openGuard();
  const bytes = new Uint8Array(1_501);
  bytes.set([0x21, 0x6d, 0x73, 0x68]);
  assert.equal(word(guard.judge(source(1), bytes, 0)), "udpMalformed");
  for (const length of [4, 1_500]) assert.equal(word(guard.judge(source(1), bytes.subarray(0, length), 0)), "pass");
  for (const kind of [0x22, 0x23]) {
    bytes.set([kind]);
    assert.equal(word(guard.judge(source(1), bytes.subarray(0, 100), 0)), "udpMalformed");
  }
  const reply = new Uint8Array(64);
  reply[0] = COOKIE_REPLY_TYPE;
  assert.equal(word(guard.judge(source(9), reply, 0)), "pass");
});

test("before there is a key nothing that needs one passes; then only what was made with it", () => {
  const guard = new HandshakeGuard({ crypto, random: new SeededRandom(1), limits: LIMITS });
  assert.equal(word(guard.judge(source(1), message(), 0)), "handshakeNotForUs");
  guard.setKey(OURS);
  for (const size of [INITIATION_BYTES, RESPONSE_BYTES]) {
    assert.equal(word(guard.judge(source(1), message({ size }), 0)), "pass");
    assert.equal(word(guard.judge(source(1), message({ size, key: OTHER }), 0)), "handshakeNotForUs");
  }
  for (let i = 0; i < 100; i++) guard.judge(source(1), message({ key: OTHER }), 0);
  assert.equal(word(guard.judge(source(1), message(), 0)), "pass", "what is not for us is no load");
});

test("under load both messages are answered with a cookie, and pass with its mac2, from that address and port only", () => {
  for (const size of [INITIATION_BYTES, RESPONSE_BYTES]) {
    const guard = openGuard();
    load(guard, 1_000);
    const sent = message({ size });
    const answered = guard.judge(source(1), sent, 1_001);
    assert.equal(word(answered), "handshakeCookieSent");
    const cookie = cookieIn(answered, sent);
    const again = message({ size, cookie, seed: 2 });
    assert.equal(word(guard.judge(source(1), again, 1_002)), "pass");
    assert.equal(word(guard.judge(source(2), again, 1_003)), "handshakeCookieSent");
    assert.equal(word(guard.judge(source(1, 1_001), again, 1_004)), "handshakeCookieSent");
    assert.equal(word(guard.judge(source(1), message({ size, cookie: new Uint8Array(16) }), 1_005)), "handshakeCookieSent");
    assert.equal(word(guard.judge(source(1), message({ size, cookie, key: OTHER }), 1_006)), "handshakeNotForUs");
  }
});

test("load begins when the bucket is empty and ends a second after it was last found so", () => {
  const guard = openGuard();
  const ask = (now: Millis): string => word(guard.judge(source(1), message(), now));
  assert.deepEqual([ask(0), ask(0), ask(0), ask(0), ask(0)], ["pass", "pass", "pass", "pass", "handshakeCookieSent"]);
  // 100 ms a token: at 999 ms there are nine, all but the burst of four lost.
  assert.deepEqual([ask(999), ask(1_000), ask(1_000), ask(1_000)], ["handshakeCookieSent", "pass", "pass", "pass"]);
  assert.equal(ask(1_000), "handshakeCookieSent");
  assert.deepEqual([ask(1_999), ask(2_000)], ["handshakeCookieSent", "pass"]);
  // A stream at a rate above the bucket's never lets it end.
  const words = new Set<string>();
  for (let now = 10_000; now < 20_000; now += 50)
    if (now >= 11_000) words.add(ask(now));
    else ask(now);
  assert.deepEqual(words, new Set(["handshakeCookieSent"]));
});

test("under load each source has its budget, not before", () => {
  const guard = openGuard();
  load(guard, 0);
  const sent = message();
  const cookies = [1, 2].map((host) => cookieIn(guard.judge(source(host), sent, 1), sent));
  const ask = (host: number, now: Millis): string => word(guard.judge(source(host), message({ cookie: cookies[host - 1] ?? sent }), now));
  for (const host of [1, 2]) {
    for (let i = 0; i < 5; i++) assert.equal(ask(host, 10), "pass");
    assert.equal(ask(host, 10), "sourceOverBudget");
  }
  assert.deepEqual([ask(1, 59), ask(1, 60), ask(1, 60)], ["sourceOverBudget", "pass", "sourceOverBudget"]);
});

test("our own kinds and cookie replies of a source have one budget, load or not, and it is not that of handshakes", () => {
  const guard = openGuard();
  const reply = new Uint8Array(64);
  reply[0] = COOKIE_REPLY_TYPE;
  const probe = Uint8Array.of(0x21, 0x6d, 0x73, 0x68);
  const ask = (bytes: Uint8Array, now: Millis): string => word(guard.judge(source(1), bytes, now));
  assert.deepEqual(
    [ask(reply, 0), ask(probe, 0), ask(probe, 0), ask(reply, 0), ask(probe, 0)],
    ["pass", "pass", "pass", "sourceOverBudget", "sourceOverBudget"],
  );
  assert.equal(word(guard.judge(source(2), probe, 0)), "pass");
  assert.equal(ask(message(), 0), "pass");
  assert.deepEqual([ask(probe, 99), ask(probe, 100)], ["sourceOverBudget", "pass"]);
});

test("forged sources push nobody who showed a cookie out of the table", () => {
  const guard = openGuard();
  load(guard, 0);
  const sent = message();
  const cookie = cookieIn(guard.judge(source(1), sent, 0), sent);
  const ask = (): string => word(guard.judge(source(1), message({ cookie }), 1));
  for (let i = 0; i < 5; i++) assert.equal(ask(), "pass");
  for (let host = 2; host < 200; host++) {
    guard.judge(source(host), message(), 1);
    guard.judge(source(host), Uint8Array.of(0x21, 0x6d, 0x73, 0x68), 1);
  }
  assert.equal(ask(), "sourceOverBudget");
});

test("the secret lives for 120 s from its first use: a cookie of before is answered with a new one, which passes", () => {
  const guard = openGuard();
  load(guard, 5_000);
  const sent = message();
  const cookie = cookieIn(guard.judge(source(1), sent, 5_001), sent);
  const ask = (now: Millis, mac2: Uint8Array): GuardVerdict => {
    load(guard, now);
    return guard.judge(source(1), message({ cookie: mac2 }), now);
  };
  assert.equal(word(ask(124_999, cookie)), "pass");
  const renewed = ask(125_000, cookie);
  const newCookie = cookieIn(renewed, message({ cookie }));
  assert.notDeepEqual(newCookie, cookie);
  assert.equal(word(ask(125_001, newCookie)), "pass");
});

test("no two replies have a nonce in common, and all of one source carry one cookie", () => {
  const guard = openGuard();
  load(guard, 0);
  const nonces = new Set<string>();
  const cookies = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const sent = message({ seed: i });
    const verdict = guard.judge(source(1), sent, 1);
    assert.ok(!verdict.pass && verdict.reply !== undefined);
    nonces.add(verdict.reply.subarray(8, 32).join());
    cookies.add(cookieIn(verdict, sent).join());
  }
  assert.deepEqual([nonces.size, cookies.size], [200, 1]);
});

test("seed 1: 20,000 random datagrams, most of a real kind and size: none throws, none without a mac1 passes as a handshake", () => {
  const guard = openGuard();
  const random = new SeededRandom(1);
  const sizes = [INITIATION_BYTES, RESPONSE_BYTES, 64];
  const words = new Map<string, number>();
  for (let run = 0; run < 20_000; run++) {
    const kind = random.below(3);
    const bytes = random.bytes((sizes[kind] ?? 0) + (random.below(4) === 0 ? random.below(3) - 1 : 0));
    bytes.set([random.below(8) === 0 ? random.below(256) : kind + 1, 0, 0, 0]);
    const verdict = word(guard.judge(source(random.below(200)), bytes, run));
    words.set(verdict, (words.get(verdict) ?? 0) + 1);
    if (verdict === "pass") assert.equal(bytes[0], COOKIE_REPLY_TYPE);
  }
  assert.deepEqual([...words.keys()].sort(), ["handshakeNotForUs", "pass", "sourceOverBudget", "udpMalformed"]);
});

/** Of our own kinds. */
const PROBE = Uint8Array.of(0x21, 0x6d, 0x73, 0x68);

for (const [what, contact, others] of [
  ["the same address", source(1), [source(1, 1_001), source(1, 5)]],
  ["the same /64", { ip: "2001:db8::1" as Ip, port: 1_000 }, [{ ip: "2001:db8::2" as Ip, port: 1_000 }]],
] as const)
  test(`strangers from ${what} use up nothing of what a contact needs`, () => {
    const guard = openGuard();
    guard.noteContact(contact, 0);
    for (const other of others) {
      while (word(guard.judge(other, PROBE, 1)) === "pass");
      load(guard, 1);
      for (let i = 0; i < 50; i++) guard.judge(other, message(), 1);
    }
    for (let i = 0; i < LIMITS.datagramsPerSource.burst; i++) assert.equal(word(guard.judge(contact, PROBE, 1)), "pass");
    assert.equal(word(guard.judge(contact, PROBE, 1)), "sourceOverBudget");
    const sent = message();
    const cookie = cookieIn(guard.judge(contact, sent, 1), sent);
    assert.equal(word(guard.judge(contact, message({ cookie }), 1)), "pass");
  });

test("a contact is one for three minutes after it was noted or sent to; nobody becomes one by being sent to", () => {
  const guard = openGuard();
  const isContact = (host: number, now: Millis): boolean => {
    // Strangers have none left.
    for (let i = 0; i < 200; i++) guard.judge(source(100 + (i % 100), 7), PROBE, now);
    return word(guard.judge(source(host), PROBE, now)) === "pass";
  };
  guard.noteContact(source(1), 0);
  assert.equal(isContact(1, 179_999), true);
  guard.keepContact(source(1), 179_999);
  guard.keepContact(source(2), 179_999);
  assert.deepEqual([isContact(1, 350_000), isContact(2, 350_000)], [true, false]);
  guard.keepContact(source(1), 360_000);
  assert.equal(isContact(1, 360_000), false);
});

test("under load a relayed message gets no cookie: what a contact relays has its budget, what others relay is dropped", () => {
  const guard = openGuard();
  const isRelayed = true;
  assert.equal(word(guard.judge(source(2), message(), 0, { isRelayed })), "pass", "without load anyone's");
  guard.noteContact(source(1), 0);
  load(guard, 1_000);
  for (let i = 0; i < LIMITS.handshakesPerSource.burst; i++)
    assert.equal(word(guard.judge(source(1), message(), 1_001, { isRelayed })), "pass");
  const sent = message();
  for (const from of [source(1), source(2)]) {
    assert.deepEqual(guard.judge(from, sent, 1_001, { isRelayed }), { pass: false, counter: "sourceOverBudget" });
  }
  assert.equal(word(guard.judge(source(1), message({ key: OTHER }), 1_002, { isRelayed })), "handshakeNotForUs");
  assert.equal(word(guard.judge(source(1), message(), 1_051, { isRelayed })), "pass", "50 ms later there is one more");
});

test("a relayed probe has the budget of the relay", () => {
  const guard = openGuard();
  const take = (isRelayed: boolean): string => word(guard.judge(source(1), PROBE, 0, { isRelayed }));
  assert.deepEqual(
    [take(true), take(false), take(true), take(true), take(false)],
    ["pass", "pass", "pass", ...new Array(2).fill("sourceOverBudget")],
  );
});

test("under a flood from forged sources a stranger is let in when it comes again", () => {
  const guard = openGuard();
  const flood = (now: Millis): void => {
    for (let i = 0; i < 100; i++) guard.judge({ ip: `198.51.${i}.${now % 256}` as Ip, port: 1 }, PROBE, now);
  };
  flood(0);
  assert.equal(word(guard.judge(source(1), PROBE, 0)), "sourceOverBudget");
  assert.equal(word(guard.judge(source(1), PROBE, 1)), "pass");
});

test("the cookies of a whole prefix open a bounded number of handshakes", () => {
  const guard = openGuard();
  load(guard, 0);
  let passed = 0;
  for (let subnet = 0; subnet < 100; subnet++) {
    const from: Endpoint = { ip: `2001:db8:0:${subnet.toString(16)}::1` as Ip, port: 1_000 };
    const sent = message();
    const cookie = cookieIn(guard.judge(from, sent, 1), sent);
    if (word(guard.judge(from, message({ cookie }), 1)) === "pass") passed++;
  }
  assert.equal(passed, LIMITS.strangers.handshakes.burst);
});
